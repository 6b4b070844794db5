/** The command, as a process of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { createRequire } from "node:module"
import type { MapepireServer } from "@sluice/mapepire-server"
import { parseUsers } from "../src/internal/bin/users.js"
import { connected, open, temporary } from "./support.js"

const root = fileURLToPath(new URL("../../../", import.meta.url))
const bin = fileURLToPath(new URL("../bin/sluice-mapepire-server.js", import.meta.url))

// A process runs outside of the test runner's transforms: what it runs must be built.
beforeAll(() => {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
  execFileSync(process.execPath, [tsc, "-b", "packages/mapepire-server/tsconfig.src.json"], { cwd: root })
}, 120_000)

const folder = mkdtempSync(join(tmpdir(), "sluice-bin-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A file of comments only, long enough to be taken for a database's header. */
const emptyUsers = join(folder, "users")
writeFileSync(emptyUsers, "# nobody yet\n".repeat(100))
const repeatedUsers = join(folder, "repeated")
writeFileSync(repeatedUsers, "anna:one\nAnna:two\n")

interface Started {
  readonly process: ChildProcess
  readonly output: string
}

const started = (...args: ReadonlyArray<string>): Effect.Effect<Started, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Started>((resume) => {
      const child = spawn(process.execPath, [bin, ...(args.includes("--port") ? [] : ["--port", "0"]), ...args], {
        stdio: ["ignore", "pipe", "pipe"]
      })
      let output = ""
      child.stdout.on("data", (part) => {
        output += String(part)
        if (output.includes("Ctrl-C")) {
          resume(Effect.succeed({ process: child, output }))
        }
      })
      child.stderr.on("data", (part) => (output += String(part)))
      child.on("exit", () => resume(Effect.succeed({ process: child, output })))
    }),
    ({ process: child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const exited = ({ process: child }: Started): Effect.Effect<number | null> =>
  Effect.async((resume) => {
    const end = () => resume(Effect.succeed(child.exitCode))
    if (child.exitCode === null && child.signalCode === null) {
      child.once("exit", end)
    } else {
      end()
    }
  })

/** What it says of itself, as the tests' own servers do. */
const serverOf = ({ output }: Started): MapepireServer.MapepireServer => {
  const url = /Mapepire at (\S+)/.exec(output)![1]!
  const file = /certificate {2}(\S+)/.exec(output)?.[1]
  return {
    url,
    host: "127.0.0.1",
    port: Number(new URL(url).port),
    certificate: file === undefined ? "" : readFileSync(file, "utf8"),
    fingerprint: "",
    commonName: "localhost",
    sockets: Effect.succeed(0),
    jobs: Effect.succeed([])
  }
}

describe("sluice-mapepire-server", () => {
  it.scopedLive(
    "serves sample tables over TLS from a temporary file, tells how to connect, and leaves nothing",
    () =>
      Effect.gen(function* () {
        const command = yield* started()
        const client = yield* connected(serverOf(command), undefined, { password: "dev" })
        expect((yield* client.sql("select count(*) from sample.employee")).data).toEqual([[11]])
        const folder = dirname(/database {5}(\S+)/.exec(command.output)![1]!)
        expect(existsSync(folder)).toBe(true)
        command.process.kill("SIGTERM")
        yield* exited(command)
        expect((yield* client.end).code).toBe(1001)
        expect(existsSync(folder)).toBe(false)
      }),
    60_000
  )

  it.scopedLive(
    "leaves nothing when its terminal is closed",
    () =>
      Effect.gen(function* () {
        const command = yield* started("--plain")
        const folder = dirname(/database {5}(\S+)/.exec(command.output)![1]!)
        command.process.kill("SIGHUP")
        yield* exited(command)
        expect(existsSync(folder)).toBe(false)
      }),
    60_000
  )

  it.scopedLive(
    "keeps a file that it was given, and its users",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporary
        const users = `${folder}/users`
        writeFileSync(users, "# who may\nANNA:one two\n\nbert:three\n")
        const args = ["--file", `${folder}/shop.db`, "--users", users, "--plain"]
        const first = yield* started(...args)
        expect(first.output).toMatch(/ws:\/\/127/)
        const anna = yield* connected(serverOf(first), undefined, { user: "anna", password: "one two" })
        yield* anna.sql("delete from sales")
        first.process.kill("SIGINT")
        yield* exited(first)
        const second = yield* started(...args)
        const bert = yield* connected(serverOf(second), undefined, { user: "BERT", password: "three" })
        expect((yield* bert.sql("select count(*) from sales")).data).toEqual([[0]])
        const stranger = yield* open(serverOf(second), { user: "DEV", password: "dev" })
        expect((yield* stranger.connect()).success).toBe(false)
      }),
    60_000
  )

  it.scopedLive.each<readonly [string, ReadonlyArray<string>, RegExp]>([
    ["others could connect and no password is chosen", ["--host", "0.0.0.0"], /choose a --password/],
    ["the protocol cannot carry the password", ["--password", "a:b"], /cannot carry/],
    ["half of a certificate is given", ["--cert", "x.pem"], /go together/],
    ["the file of users is not there", ["--users", "/nowhere"], /Cannot read \/nowhere/],
    ["the file of users names none", ["--users", emptyUsers], /names nobody/],
    ["the file of users names one twice", ["--users", repeatedUsers], /line 2: this user has a line already/],
    ["no user could sign on", ["--user", "qsecofr"], /begins with Q/],
    ["the protocol cannot carry the user", ["--user", "a:b"], /cannot carry a --user/],
    ["the password is empty", ["--password", ""], /empty/],
    ["the daemon has no such version", ["--daemon", "nxt"], /2\.3\.2.*next/],
    ["the database would be in memory", ["--file", ":memory:"], /path of a file/],
    ["the database would be one of a URI", ["--file", "file:x?mode=memory"], /path of a file/],
    ["the file is no database", ["--file", emptyUsers], /Cannot serve .*users: .*not a database/],
    ["the file's directory is not there", ["--file", "/nowhere/x.db"], /Cannot serve \/nowhere\/x\.db/],
    ["there is no such port", ["--port", "99999"], /^--port must be from 0 to 65535$/m],
    ["an option is unknown", ["--colour", "blue"], /--colour/]
  ])("refuses when %s", ([, args, message]) =>
    Effect.gen(function* () {
      const command = yield* started(...args)
      expect(yield* exited(command)).toBe(1)
      expect(command.output).toMatch(message)
      expect(command.output).not.toContain("Mapepire at")
    })
  )
})

describe("a file of users", () => {
  it.live("names the line that is wrong, not its content", () =>
    Effect.sync(() => {
      expect(Object.keys(parseUsers("a:b\r\n # c\nd:e f"))).toEqual(["A", "D"])
      for (const wrong of ["a", "a:", ":b", "a:b:c", "a:b;c", "a*:b", "a: "]) {
        expect(parseUsers(`ok:ok\n${wrong}`)).toEqual({ wrongLine: 2 })
      }
      for (const again of ["ok:other", " OK:ok"]) {
        expect(parseUsers(`ok:ok\n\n${again}`)).toEqual({ wrongLine: 3, repeats: true })
      }
    })
  )
})
