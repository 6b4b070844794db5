/** The client that everybody has, from npm, against this server over TLS. */
import { describe, expect, it } from "@effect/vitest"
import { Pool, SQLJob, States } from "@ibm/mapepire-js"
import { Effect } from "effect"
import { serve } from "./support.js"

const credentials = (server: Effect.Effect.Success<ReturnType<typeof serve>>, password = "secret") => ({
  host: "localhost",
  port: server.port,
  user: "DEV",
  password,
  ca: server.certificate,
  rejectUnauthorized: true
})

const promise = <A>(run: () => Promise<A>) => Effect.promise(run)

const secure = serve({ tls: {} })

const job = (server: Effect.Effect.Success<typeof secure>, options?: ConstructorParameters<typeof SQLJob>[0]) =>
  Effect.acquireRelease(
    promise(async () => {
      const made = new SQLJob(options)
      await made.connect(credentials(server))
      return made
    }),
    (made) => promise(async () => made.close())
  )

describe("@ibm/mapepire-js", () => {
  it.scopedLive("connects, queries with parameters, pages", () =>
    Effect.gen(function* () {
      const server = yield* secure
      const client = yield* job(server)
      expect(client.id).toMatch(/QZDASOINIT$/)
      expect((yield* promise(() => client.getVersion())).version).toBe("2.3.6")
      const one = yield* promise(() =>
        client.execute("select deptname from sample.department where deptno = ?", { parameters: ["A10"] })
      )
      expect(one.data).toEqual([{ DEPTNAME: "HEAD OFFICE" }])
      const query = client.query<{ EMPNO: string }>("select empno from employee order by empno")
      const rows: Array<string> = []
      let page = yield* promise(() => query.execute(4))
      rows.push(...page.data.map(({ EMPNO }) => EMPNO))
      while (!page.is_done) {
        page = yield* promise(() => query.fetchMore(4))
        rows.push(...page.data.map(({ EMPNO }) => EMPNO))
      }
      yield* promise(() => query.close())
      expect([rows.length, new Set(rows).size]).toEqual([11, 11])
    })
  )

  it.scopedLive("runs changes, batches, CL commands, plans", () =>
    Effect.gen(function* () {
      const client = yield* job(yield* secure)
      yield* promise(() => client.execute("create table shop.t (id int not null primary key, name varchar(10))"))
      const batch = yield* promise(() =>
        client.execute("insert into shop.t values (?, ?)", {
          parameters: [
            [1, "a"],
            [2, "b"],
            [3, "c"]
          ] as never
        })
      )
      expect(batch.update_count).toBe(3)
      const log = yield* promise(() => client.query("DSPJOB", { isClCommand: true }).execute())
      expect(log.success).toBe(true)
      const plan = (yield* promise(() => client.explain("select * from shop.t"))) as { vedata?: unknown }
      expect(plan.vedata).toHaveLength(1)
    })
  )

  it.scopedLive("gets Db2's failures, and goes on", () =>
    Effect.gen(function* () {
      const server = yield* secure
      const client = yield* job(server)
      const failure = yield* Effect.flip(Effect.tryPromise(() => client.execute("select * from nope")))
      expect(String((failure as { error?: unknown }).error)).toMatch(/SQL0204.*42704.*-204/)
      expect((yield* promise(() => client.execute("values 1"))).data).toEqual([{ "00001": 1 }])
      const refused = yield* Effect.flip(Effect.tryPromise(() => new SQLJob().connect(credentials(server, "wrong"))))
      expect(String((refused as { error?: unknown }).error)).toContain("Password is incorrect")
    })
  )

  it.scopedLive("keeps transactions apart by job", () =>
    Effect.gen(function* () {
      const server = yield* secure
      const manual = yield* job(server, { "auto commit": false, "transaction isolation": "read committed" } as never)
      const other = yield* job(server)
      const count = () =>
        promise(async () => (await other.execute<{ N: number }>("select count(*) as n from sales")).data[0]!.N)
      const pending = () => promise(() => manual.getPendingTransactions())
      expect([yield* pending(), yield* promise(() => other.getPendingTransactions())]).toEqual([0, 0])
      yield* promise(() => manual.execute("delete from sales"))
      expect(yield* count()).toBe(8)
      expect(yield* pending()).toBe(1)
      yield* promise(() => manual.endTransaction(States.TransactionEndType.ROLLBACK))
      expect(yield* pending()).toBe(0)
      expect(yield* count()).toBe(8)
      yield* promise(() => manual.execute("delete from sales"))
      yield* promise(() => manual.endTransaction(States.TransactionEndType.COMMIT))
      expect(yield* pending()).toBe(0)
      expect(yield* count()).toBe(0)
    })
  )

  it.scopedLive("has many requests under way, on a job and on a pool", () =>
    Effect.gen(function* () {
      const server = yield* secure
      const client = yield* job(server)
      const sql = "select empno, cast(? as integer) as n from employee where empno = '000100'"
      const answers = yield* promise(() =>
        Promise.all(Array.from({ length: 100 }, (_, i) => client.execute<{ N: number }>(sql, { parameters: [i] })))
      )
      expect(answers.map(({ data }) => data[0]!.N)).toEqual(Array.from({ length: 100 }, (_, i) => i))
      const pool = yield* Effect.acquireRelease(
        promise(async () => {
          const made = new Pool({ creds: credentials(server), maxSize: 4, startingSize: 4 })
          await made.init()
          return made
        }),
        (made) => Effect.sync(() => made.end())
      )
      const pooled = yield* promise(() =>
        Promise.all(Array.from({ length: 200 }, (_, i) => pool.execute<{ N: number }>(sql, { parameters: [i] })))
      )
      expect(pooled.map(({ data }) => data[0]!.N)).toEqual(Array.from({ length: 200 }, (_, i) => i))
    })
  )
})
