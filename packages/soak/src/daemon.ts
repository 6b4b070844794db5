/** The embedded server in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Soak } from "./soak.js"

const program = fileURLToPath(new URL("./programs/daemon.js", import.meta.url))

export interface Daemon {
  readonly port: number
  /** Ends it, at once or by asking it to, and waits for that. */
  readonly end: (signal: "SIGKILL" | "SIGTERM") => Effect.Effect<void>
}

const gone = (child: ChildProcess): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      return resume(Effect.void)
    }
    child.once("exit", () => resume(Effect.void))
  })

/** Starts one; it ends with the scope. That it ends by itself is a breach. */
export const startDaemon = (filename: string, soak: Soak): Effect.Effect<Daemon, Error, Scope.Scope> =>
  Effect.gen(function* () {
    let asked = false
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, [program, filename], { stdio: ["pipe", "pipe", "inherit"] })),
      (child) =>
        Effect.suspend(() => {
          asked = true
          child.kill("SIGKILL")
          return gone(child)
        })
    )
    // Its input ends with it, whenever that is.
    child.stdin.on("error", () => {})
    child.once("exit", (code, signal) => {
      if (!asked) {
        soak.breach(`the daemon ended by itself with ${signal ?? `code ${code}`}`)
      }
    })
    const port = yield* Effect.async<number, Error>((resume) => {
      child.stdout.once("data", (data: Buffer) => resume(Effect.succeed(Number(data.toString()))))
      child.once("exit", () => resume(Effect.fail(new Error("The daemon ended before it served"))))
    })
    return {
      port,
      end: (signal) =>
        Effect.suspend(() => {
          asked = true
          child.kill(signal)
          return soak.watched(`the daemon's end by ${signal}`, gone(child))
        })
    }
  })
