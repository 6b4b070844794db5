/** Two runner processes share one SQLite file; one of them is killed in the middle of its work. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { Effect, Schedule, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Account } from "../src/cluster/account.js"
import { client } from "../src/cluster/cluster.js"
import { steps } from "../src/cluster/shipment.js"
import { accounts, amount, deposits, orders, work } from "../src/cluster/work.js"
import { built, root } from "./built.js"

const runnerFile = join(root, "packages/examples/dist/cluster/runner.js")

beforeAll(built, 240_000)

const freePort: Effect.Effect<number> = Effect.async((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})

interface Runner {
  /** As it signs its work. */
  readonly name: string
  readonly process: ChildProcess
  readonly ended: Effect.Effect<void>
}

/** A runner in a process of its own, ready; gone with the scope. */
const startRunner = (filename: string): Effect.Effect<Runner, never, Scope.Scope> =>
  Effect.gen(function* () {
    const port = yield* freePort
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, [runnerFile, filename, String(port)], { stdio: "pipe" })),
      (child) =>
        Effect.zipRight(
          Effect.sync(() => child.kill("SIGKILL")),
          exited(child)
        )
    )
    const name = `runner ${port}`
    yield* Effect.async<void>((resume) => {
      let said = ""
      const listen = (chunk: Buffer) => {
        said += chunk.toString()
        if (said.includes(`${name} is ready`)) resume(Effect.void)
      }
      child.stdout.on("data", listen)
      child.stderr.on("data", listen)
      child.once("exit", () => resume(Effect.dieMessage(`${name} ended early: ${said}`)))
    })
    return { name, process: child, ended: exited(child) }
  })

const exited = (child: ChildProcess): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resume(Effect.void)
    } else {
      child.once("exit", () => resume(Effect.void))
    }
  })

/** Looks at the database until it finds what it waits for. */
const eventually = <A, E, R>(look: Effect.Effect<A, E, R>, found: (value: A) => boolean): Effect.Effect<A, E, R> =>
  Effect.repeat(look, { until: found, schedule: Schedule.spaced("100 millis") }).pipe(
    Effect.zipRight(look),
    Effect.timeoutFail({ duration: "60 seconds", onTimeout: () => new Error("what was waited for did not come") }),
    Effect.orDie
  )

describe("a cluster on one SQLite file", () => {
  it.scopedLive(
    "work survives that one of two runners is killed: every message is answered, every step done",
    () =>
      Effect.gen(function* () {
        const directory = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-cluster-"))),
          (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
        )
        const filename = join(directory, "cluster.db")
        const runners = yield* Effect.all([startRunner(filename), startRunner(filename)], { concurrency: 2 })

        yield* Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const count = (text: string) =>
            Effect.map(sql.unsafe<{ n: number }>(`select count(*) as n from ${text}`), ([row]) => row!.n)
          const by = (table: string, runner: Runner) => count(`${table} where runner = '${runner.name}'`)

          // Both have shards before there is anything to do.
          yield* eventually(
            sql<{ n: number }>`select count(*) as n from cluster_locks group by address`,
            (owners) => owners.length === 2 && owners.every(({ n }) => n > 0)
          )
          const result = yield* Effect.fork(work)

          // All workflows are in the middle of their second step: what the first one gave is stored.
          yield* eventually(
            count("cluster_messages where tag = 'activity' and payload like '%charge%'"),
            (n) => n === orders.length
          )
          const [first, second] = yield* Effect.forEach(runners, (runner) => by("steps", runner))
          const [victim, survivor] = first >= second! ? runners : [runners[1], runners[0]]
          yield* eventually(by("deposits", victim), (n) => n > 0)
          victim.process.kill("SIGKILL")
          yield* victim.ended
          const before = { deposits: yield* by("deposits", victim), steps: yield* by("steps", victim) }
          assert.isAbove(before.steps, 0)
          assert.isBelow(yield* count("deposits"), accounts.length * deposits)

          const { balances, shipments } = yield* result
          assert.deepStrictEqual(
            balances,
            accounts.map((name) => ({ name, balance: deposits * amount }))
          )
          assert.deepStrictEqual(
            shipments.map(({ order }) => order),
            orders
          )
          for (const { done } of shipments) {
            assert.deepStrictEqual(
              done.map((step) => step.split(" ")[0]),
              [...steps]
            )
          }

          // The survivor did the rest, and nothing twice but what was cut off in its middle.
          assert.strictEqual(yield* by("deposits", victim), before.deposits)
          assert.strictEqual(yield* by("deposits", survivor), accounts.length * deposits - before.deposits)
          assert.strictEqual(yield* by("steps", victim), before.steps)
          const runs = yield* sql<{ step: string; shipment: string; n: number; victims: number }>`
            select step, shipment, count(*) as n, sum(runner = ${victim.name}) as victims
            from steps group by step, shipment
          `
          assert.lengthOf(runs, orders.length * steps.length)
          for (const { n, step, victims } of runs) {
            assert.isAtMost(n - victims, 1, step)
            assert.isAtMost(n, step === "reserve" ? 1 : 2, step)
          }
          const open = yield* count("cluster_messages where processed = 0")
          assert.strictEqual(open, 0)

          // The same message again: the answer that is stored, not another deposit.
          const account = yield* Account.client
          const name = accounts[0]!
          yield* account(name).deposit({ id: `${name}/1`, amount })
          assert.strictEqual(yield* count("deposits"), accounts.length * deposits)

          survivor.process.kill("SIGTERM")
          yield* survivor.ended
        }).pipe(Effect.provide(client(filename)))
      }),
    { timeout: 120_000 }
  )
})
