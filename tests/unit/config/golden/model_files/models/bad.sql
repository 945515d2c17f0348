-- what it is
-- dray: {warehous: wh, key: id}
select 1
