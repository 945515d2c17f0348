-- dray: {warehouse: wh, key: [id
select 1
