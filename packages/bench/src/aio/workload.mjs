/**
 * The workload of APSW's aio benchmark: a table in memory that starts with two rows of five columns; until it holds more
 * than 300,000, read up to 1,000 of its rows one by one and append them.
 */
export const create = [
  "create table foo(one, two, three, four, five)",
  "insert into foo values(1, 2, 3, 4, 5)",
  "insert into foo values(5, 4, 3, 2, 1)"
]
export const length = "select count(*) as n from foo"
export const source = "select * from foo limit 1000"
export const insert = "insert into foo values(?, ?, ?, ?, ?)"
export const enough = 300_000

export const toArray = (row) => [row.one, row.two, row.three, row.four, row.five]
