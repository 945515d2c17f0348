-- é
-- dray: {warehouse: wh, key: 5}
select 1
