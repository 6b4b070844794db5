import { SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Stream } from "effect"
import { threadCpu, threadIds } from "./src/measure.mjs"
import { source, insert, toArray } from "./src/aio/workload.mjs"
const others=()=>threadIds().filter(t=>t!==process.pid).map(t=>threadCpu(t)).reduce((a,b)=>a+b,0)
await Effect.runPromise(Effect.gen(function*(){
  const sql=yield* SqliteClient.SqliteClient
  yield* sql.unsafe("create table foo(one, two, three, four, five)")
  yield* sql.unsafe("with recursive c(i) as (select 1 union all select i+1 from c where i<1000) insert into foo select i,i,i,i,i from c")
  yield* sql.unsafe("create table sink(one, two, three, four, five)")
  const rows=(yield* sql.unsafe(source)).map(toArray)
  const N=+process.argv[2]||300
  const what={
    "select 1": sql.unsafe("select 1"),
    "foreach 64": Stream.runForEach(sql.unsafe(source).stream,r=>Effect.sync(()=>toArray(r))).pipe(SqlClient.withPrefetch(64)),
    "chunks 64": Stream.runForEachChunk(sql.unsafe(source).stream,c=>Effect.sync(()=>{for(const r of c)toArray(r)})).pipe(SqlClient.withPrefetch(64)),
    "foreach 2048": Stream.runForEach(sql.unsafe(source).stream,r=>Effect.sync(()=>toArray(r))).pipe(SqlClient.withPrefetch(2048)),
    "chunks 2048": Stream.runForEachChunk(sql.unsafe(source).stream,c=>Effect.sync(()=>{for(const r of c)toArray(r)})).pipe(SqlClient.withPrefetch(2048)),
    "all": sql.unsafe(source),
    "many": sql.many("insert into sink values(?,?,?,?,?)",rows),
    "many in place": sql.many("update sink set one=? where rowid=? and ?+?+?",rows.slice(0,1)),
  }
  for(let r=0;r<2;r++) for(const [k,e] of Object.entries(what)){ 
    const m=threadCpu(),o=others(),s=performance.now()
    for(let i=0;i<N;i++) yield* e
    console.log(k.padEnd(14),"per call: wall",((performance.now()-s)/N*1000).toFixed(0),"µs main",((threadCpu()-m)/N/1000).toFixed(0),"µs others",((others()-o)/N/1000).toFixed(0),"µs")
  }
}).pipe(Effect.provide(SqliteClient.layer({filename:":memory:"}))))
