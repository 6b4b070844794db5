import { SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Stream } from "effect"
import { threadCpu, threadIds } from "./src/measure.mjs"
import { create, enough, insert, length, source, toArray } from "./src/aio/workload.mjs"
const snap=()=>new Map(threadIds().map(t=>[t,threadCpu(t)]))
await Effect.runPromise(Effect.gen(function*(){
  for (let rep=0;rep<3;rep++) {
    const parts={count:0,read:0,write:0}, before=snap(), s=performance.now()
    yield* Effect.gen(function*(){
      const sql=yield* SqliteClient.SqliteClient
      for(const c of create) yield* sql.unsafe(c)
      for(;;){
        let t=performance.now()
        const [{n}]=yield* sql.unsafe(length); parts.count+=performance.now()-t
        if(n>enough) return
        t=performance.now(); const rows=[]
        yield* Stream.runForEach(sql.unsafe(source).stream, r=>Effect.sync(()=>rows.push(toArray(r)))); parts.read+=performance.now()-t
        t=performance.now(); yield* sql.many(insert,rows); parts.write+=performance.now()-t
      }
    }).pipe(SqlClient.withPrefetch(64),Effect.provide(SqliteClient.layer({filename:":memory:"})))
    const after=snap(); 
    console.log("wall",(performance.now()-s).toFixed(0),Object.fromEntries(Object.entries(parts).map(([k,v])=>[k,Math.round(v)])),"cpu",[...after].map(([t,c])=>[(t===process.pid?"main ":"")+Math.round((c-(before.get(t)??0))/1e6)]).filter(([x])=>x!=="0").join(" | "))
  }
}))
