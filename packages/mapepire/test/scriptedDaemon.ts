/**
 * A daemon at frame level, over real sockets on loopback: it keeps the protocol by itself, and does whatever a test tells
 * it to do instead. It records every request, and knows what is open on each connection.
 */
import { createServer as createPlain, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createSecure } from "node:https"
import type { AddressInfo, Socket } from "node:net"
import { type Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { type RawData, type WebSocket, WebSocketServer } from "ws"
import type * as MapepireJob from "@sluice/mapepire/MapepireJob"
import { certificate, type TestCertificate } from "./certificates.js"

export interface Request {
  readonly id: string
  readonly type: string
  readonly sql?: string
  readonly cont_id?: string
  readonly parameters?: ReadonlyArray<any>
  readonly rows?: number
  readonly terse?: boolean
  readonly cmd?: string
  readonly props?: string
  readonly technique?: string
  readonly application?: string
  readonly [field: string]: unknown
}

/** What a statement does. */
export interface Outcome {
  readonly columns?: ReadonlyArray<{ readonly name: string; readonly type: string; readonly [more: string]: unknown }>
  /** In terse form; a text is taken for JSON as it is. */
  readonly rows?: ReadonlyArray<ReadonlyArray<unknown> | string>
  readonly updateCount?: number
  readonly error?: string
  readonly sqlState?: string | null
  readonly sqlRc?: number
  /** Milliseconds until it is answered. */
  readonly delay?: number
  /** Runs until it is cancelled, or for so many milliseconds. */
  readonly runs?: number
  /** More fields of the response. */
  readonly more?: Readonly<Record<string, unknown>>
  readonly parameters?: ReadonlyArray<Readonly<Record<string, unknown>>>
  /** Fails after so many rows, in the page in which they are. */
  readonly failAfter?: number
}

export type Script = (request: Request, connection: Connection) => Outcome | undefined

/** Takes a request over: whatever is to be sent, the test sends. True: it did. */
export type Override = (request: Request, connection: Connection) => boolean

interface OpenCursor {
  readonly outcome: Outcome
  at: number
  readonly terse: boolean
  /** Without parameters: the driver closes its statement at the end of the rows. */
  readonly plain: boolean
  ended: boolean
}

const failure = (error: string, sqlState: string | null = null, sqlRc = 0) => ({
  error,
  success: false,
  sql_state: sqlState,
  sql_rc: sqlRc
})

export class Connection {
  job: string | undefined
  /** Ids that the daemon remembers: what leaks if nobody closes it. */
  readonly open = new Map<string, OpenCursor | undefined>()
  /** Statements of the driver. */
  statements = 0
  closed: { readonly code: number } | undefined
  terminated = false
  exited = false
  pings = 0
  /** The statement that runs, as far as it can be cancelled. */
  private running: { readonly cancel: () => void } | undefined
  private readonly waiting: Array<() => void> = []
  private locked = false
  readonly inFlight = new Set<string>()

  constructor(
    readonly daemon: ScriptedDaemon,
    readonly socket: WebSocket | undefined,
    private readonly write: (text: string | Buffer) => void,
    readonly upgrade: IncomingMessage | undefined
  ) {}

  send(frame: object | string | Buffer): void {
    const body = typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame) + "\n\n"
    const binary = this.daemon.options.binary === true && typeof body === "string"
    this.write(binary ? Buffer.from(body) : body)
  }

  reply(request: Request, body: object): void {
    this.inFlight.delete(request.id)
    const frame = { id: request.id, success: true, ...body, execution_time: 1 }
    this.send(frame)
    if (this.daemon.random() < this.daemon.twice) {
      this.send(frame)
    }
  }

  /** Cuts the connection without a goodbye. */
  drop(): void {
    this.socket?.terminate()
  }

  receive(text: string): void {
    let request: Request
    try {
      request = JSON.parse(text) as Request
    } catch {
      return this.send({ id: "unparseable_1", unparseable: text, ...failure(`Non-parseable request: '${text}'`) })
    }
    this.daemon.requests.push({ ...request, connection: this })
    this.inFlight.add(request.id)
    for (const override of [...this.daemon.overrides]) {
      if (override(request, this)) {
        return
      }
    }
    this.handle(request)
  }

  /** As the daemon does by itself. */
  handle(request: Request): void {
    switch (request.type) {
      case "connect":
        return this.connect(request)
      case "ping":
        return this.reply(
          request,
          this.job === undefined ? { alive: true, ...failure("Not connected") } : { alive: true, db_alive: true }
        )
      case "getversion":
        return this.reply(request, { build_date: "2026-01-01 00:00:00 (GMT)", version: this.daemon.version })
      case "getdbjob":
        return this.reply(request, { job: this.job ?? "??????/??????/??????" })
      case "setconfig":
        return this.reply(request, {
          tracedest: "unknown",
          tracelevel: "INPUT_AND_ERRORS",
          jtopentracedest: "unknown",
          jtopentracelevel: "OFF"
        })
      case "gettracedata":
        return this.reply(request, { tracedata: "<prohibited>", jtopentracedata: "<prohibited>" })
      case "exit":
        this.exited = true
        this.job = undefined
        return this.reply(request, {})
      case "sqlclose":
        if (!this.open.delete(request.cont_id!)) {
          return this.reply(request, { success: false, error: "Bad request: invalid correlation ID" })
        }
        return this.reply(request, {})
      case "sqlmore":
        return this.more(request)
      case "cl":
      case "dove":
        // On the thread that reads: nothing else is read meanwhile.
        this.socket?.pause()
        return this.locking(request, (done) =>
          this.run(request, (body) => {
            this.socket?.resume()
            this.reply(request, body)
            done()
          })
        )
      default:
        return this.locking(request, (done) =>
          this.run(request, (body) => {
            this.reply(request, body)
            done()
          })
        )
    }
  }

  private connect(request: Request): void {
    const refusal = this.daemon.refuse(this)
    if (refusal !== undefined) {
      return this.reply(request, failure(refusal))
    }
    this.job = this.daemon.nextJob()
    this.statements = 0
    this.exited = false
    // The map of ids survives; what is in it does not.
    for (const cursor of this.open.values()) {
      if (cursor !== undefined) {
        cursor.ended = true
      }
    }
    this.reply(request, { job: this.job })
  }

  /** One statement at a time; which of the waiting ones comes next is nobody's promise. */
  private locking(request: Request, work: (done: () => void) => void): void {
    const begin = () => {
      this.locked = true
      work(() => {
        this.locked = false
        const { random } = this.daemon
        const next = this.waiting.splice(Math.floor(random() * this.waiting.length), 1)[0]
        next?.()
      })
    }
    if (this.locked) {
      this.waiting.push(begin)
    } else {
      begin()
    }
  }

  private run(request: Request, answer: (body: object) => void): void {
    if (this.job === undefined) {
      return answer(failure("Not connected"))
    }
    const opens = request.type === "sql" || request.type.startsWith("prepare_sql")
    if (opens) {
      this.open.set(request.id, undefined)
      if (++this.statements > this.daemon.statementLimit) {
        return answer(failure("Limit on number of statements exceeded.", "HY014", -99999))
      }
    }
    const handle = request.type === "execute" ? this.daemon.texts.get(`${this.job} ${request.cont_id}`) : undefined
    if (request.type === "execute" && (handle === undefined || !this.open.has(request.cont_id!))) {
      return answer({ success: false, error: "Bad request: invalid correlation ID" })
    }
    const text = request.sql ?? handle ?? request.cmd ?? ""
    if (request.type.startsWith("prepare_sql")) {
      this.daemon.texts.set(`${this.job} ${request.id}`, text)
    }
    const cancelled = /^call qsys2\.cancel_sql\('(.*)'\)$/i.exec(text)
    if (cancelled !== null) {
      this.daemon.cancels.push(cancelled[1]!)
      this.daemon.cancel(cancelled[1]!)
      return answer({ has_results: false, update_count: 0 })
    }
    const outcome = this.daemon.outcomeOf({ ...request, sql: text }, this)
    const finish = () => {
      this.running = undefined
      answer(this.respond(request, outcome))
    }
    if (outcome.runs !== undefined) {
      const timer = outcome.runs === Infinity ? undefined : this.daemon.later(outcome.runs, finish)
      this.running = {
        cancel: () => {
          clearTimeout(timer)
          this.running = undefined
          answer(failure("[SQL0952] Processing of the SQL statement ended.", "57014", -952))
        }
      }
    } else if (outcome.delay !== undefined) {
      this.daemon.later(outcome.delay, finish)
    } else {
      finish()
    }
  }

  cancel(): boolean {
    this.running?.cancel()
    return this.running !== undefined
  }

  private respond(request: Request, outcome: Outcome): object {
    const metadata = { column_count: outcome.columns?.length ?? 0, job: this.job, columns: outcome.columns ?? [] }
    const parameters = { parameter_count: outcome.parameters?.length ?? request.parameters?.length ?? 0 }
    if (request.type === "cl") {
      const body = { metadata, data: outcome.rows ?? [], is_done: true }
      return outcome.error === undefined
        ? body
        : { ...body, ...failure(outcome.error, outcome.sqlState, outcome.sqlRc) }
    }
    if (request.type === "dove") {
      return outcome.error === undefined
        ? { vemetadata: metadata, vedata: outcome.rows ?? [], is_done: true, ...outcome.more }
        : failure(outcome.error, outcome.sqlState, outcome.sqlRc)
    }
    if (outcome.error !== undefined && outcome.failAfter === undefined) {
      return failure(outcome.error, outcome.sqlState, outcome.sqlRc)
    }
    if (request.type === "prepare_sql") {
      return {
        ...parameters,
        metadata: { ...(outcome.columns === undefined ? undefined : metadata), parameters: outcome.parameters ?? [] },
        ...outcome.more
      }
    }
    const prepared = request.type === "prepare_sql_execute"
    if (outcome.columns === undefined) {
      const batch = Array.isArray(request.parameters?.[0]) ? request.parameters.length : undefined
      return {
        ...(prepared ? { ...parameters, metadata: { parameters: outcome.parameters ?? [] } } : undefined),
        ...(batch === undefined ? undefined : { batch_added: batch }),
        ...(request.type === "sql" ? undefined : { data: [], output_parms: [], is_done: true }),
        has_results: false,
        update_count: outcome.updateCount ?? batch ?? 0,
        ...outcome.more
      }
    }
    const cursor: OpenCursor = {
      outcome,
      at: 0,
      terse: request.terse === true,
      plain: request.type === "sql",
      ended: false
    }
    if (request.type !== "execute") {
      this.open.set(request.id, cursor)
    }
    const page = this.page(cursor, request.rows ?? 1000)
    return {
      ...(prepared ? parameters : undefined),
      metadata,
      has_results: true,
      update_count: -1,
      ...(request.type === "sql" ? undefined : { output_parms: [] }),
      ...page,
      ...outcome.more
    }
  }

  private page(cursor: OpenCursor, rows: number): object {
    const all = cursor.outcome.rows ?? []
    const until = Math.min(cursor.at + Math.max(0, rows), cursor.outcome.failAfter ?? Infinity, all.length)
    const data = all.slice(cursor.at, until)
    cursor.at = until
    if (until === cursor.outcome.failAfter && data.length < rows) {
      const { error, sqlRc, sqlState } = cursor.outcome
      return { data: this.shaped(cursor, data), ...failure(error ?? "it broke", sqlState, sqlRc) }
    }
    // The end is only known when it was run into.
    cursor.ended = data.length < rows
    this.statements -= cursor.ended && cursor.plain ? 1 : 0
    return { data: this.shaped(cursor, data), is_done: cursor.ended }
  }

  private shaped(cursor: OpenCursor, rows: ReadonlyArray<ReadonlyArray<unknown> | string>): Array<unknown> {
    return rows.map((row) => {
      const values = typeof row === "string" ? (JSON.parse(row) as Array<unknown>) : row
      return cursor.terse ? values : Object.fromEntries(cursor.outcome.columns!.map(({ name }, i) => [name, values[i]]))
    })
  }

  private more(request: Request): void {
    const cursor = this.open.get(request.cont_id!)
    if (!this.open.has(request.cont_id!)) {
      return this.reply(request, { success: false, error: "Bad request: invalid correlation ID" })
    }
    if (cursor === undefined) {
      return this.reply(request, failure("Result set was null"))
    }
    if (cursor.ended) {
      return this.reply(request, { data: [], is_done: true })
    }
    const page = this.page(cursor, request.rows ?? 1000)
    const { delay } = cursor.outcome
    if (delay === undefined) {
      this.reply(request, page)
    } else {
      this.daemon.later(delay, () => this.reply(request, page))
    }
  }
}

export interface DaemonOptions {
  readonly tls?: TestCertificate | undefined
  readonly binary?: boolean | undefined
  /** Answers the upgrade with this status instead of 101. */
  readonly upgradeStatus?: number | undefined
  readonly seed?: number | undefined
}

/** Repeatable. */
export const randomOf = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

export class ScriptedDaemon {
  readonly connections: Array<Connection> = []
  readonly requests: Array<Request & { readonly connection: Connection }> = []
  readonly overrides: Array<Override> = []
  private readonly scripts: Array<readonly [RegExp, Script]> = []
  readonly texts = new Map<string, string>()
  /** Job names that somebody asked to cancel. */
  readonly cancels: Array<string> = []
  /** What a cancel does; replace it to lose, delay or repeat one. */
  cancel = (job: string): void => {
    this.connections.find((connection) => connection.job === job)?.cancel()
  }
  version = "2.3.3"
  password = "sesame"
  statementLimit = 9_999
  /** What `GET /blob/…` gives, once each, to whoever has the login of a socket. */
  readonly blobs = new Map<string, Buffer>()
  /** What of it is asked for and not answered, while `blobsStall`. */
  readonly stalled = new Set<string>()
  blobsStall = false
  /** How likely an answer is sent a second time. */
  twice = 0
  port = 0
  readonly random: () => number
  private readonly timers = new Set<NodeJS.Timeout>()
  private jobs = 330_000
  /** Why a `connect` is refused. */
  refuse = (connection: Connection): string | undefined => {
    const given = Buffer.from((connection.upgrade?.headers.authorization ?? "").slice(6), "base64").toString()
    const [user, password] = given.split(":")
    return connection.upgrade === undefined || (user === "ada" && password === this.password)
      ? undefined
      : "java.sql.SQLException: The application server rejected the connection. (Password is incorrect.)"
  }

  constructor(readonly options: DaemonOptions) {
    this.random = randomOf(options.seed ?? 1)
  }

  /** What a statement does whose text matches; the newest first. */
  on(text: RegExp, script: Script | Outcome): this {
    this.scripts.unshift([text, typeof script === "function" ? script : () => script])
    return this
  }

  override(override: Override): this {
    this.overrides.push(override)
    return this
  }

  /** Instead of the next request that fits. */
  once(fits: (request: Request) => boolean, act: (request: Request, connection: Connection) => void): this {
    const override: Override = (request, connection) => {
      if (!fits(request)) {
        return false
      }
      this.overrides.splice(this.overrides.indexOf(override), 1)
      act(request, connection)
      return true
    }
    return this.override(override)
  }

  outcomeOf(request: Request, connection: Connection): Outcome {
    for (const [text, script] of this.scripts) {
      if (text.test(request.sql ?? "")) {
        const outcome = script(request, connection)
        if (outcome !== undefined) {
          return outcome
        }
      }
    }
    if (/^\s*values\b/i.test(request.sql ?? "")) {
      return { columns: [{ name: "00001", type: "INTEGER" }], rows: [[1]] }
    }
    return { error: "[SQL0104] Token was not valid.", sqlState: "42601", sqlRc: -104 }
  }

  nextJob(): string {
    return `${++this.jobs}/QUSER/QZDASOINIT`
  }

  later(millis: number, act: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      act()
    }, millis)
    this.timers.add(timer)
    return timer
  }

  /** Requests of a type, in order. */
  sent(type: string): ReadonlyArray<Request & { readonly connection: Connection }> {
    return this.requests.filter((request) => request.type === type)
  }

  /** Statements, in the order in which they came. */
  get statements(): ReadonlyArray<string> {
    return this.requests.flatMap(({ sql }) => (sql === undefined ? [] : [sql]))
  }

  stop(): void {
    for (const timer of this.timers) {
      clearTimeout(timer)
    }
    for (const connection of this.connections) {
      connection.socket?.terminate()
    }
  }

  /** Serves single mode over a stream: one document per line, no login. */
  serveLines(stream: Duplex): Connection {
    const connection = new Connection(this, undefined, (text) => void stream.write(text), undefined)
    this.connections.push(connection)
    let rest = ""
    stream.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split("\n")
      rest = lines.pop()!
      for (const line of lines) {
        connection.receive(line)
      }
    })
    return connection
  }

  /** What a job needs to find it. */
  get config(): MapepireJob.Config {
    return {
      host: "127.0.0.1",
      port: this.port,
      user: "ada",
      password: Redacted.make(this.password),
      ...(this.options.tls === undefined
        ? { secure: false }
        : { tls: { ca: this.options.tls.cert, servername: "ibmi.test" } })
    }
  }
}

export const wss: DaemonOptions = { tls: certificate }

export const scriptedDaemon = (options: DaemonOptions = {}): Effect.Effect<ScriptedDaemon, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ readonly daemon: ScriptedDaemon; readonly close: () => void }>((resume) => {
      const daemon = new ScriptedDaemon(options)
      const http =
        options.tls === undefined ? createPlain() : createSecure({ cert: options.tls.cert, key: options.tls.key })
      const server = new WebSocketServer({ noServer: true, perMessageDeflate: true })
      const sockets = new Set<Socket>()
      http.on("connection", (socket: Socket) => {
        sockets.add(socket)
        socket.on("close", () => sockets.delete(socket))
      })
      http.on("request", (request: IncomingMessage, response: ServerResponse) => {
        if (daemon.blobsStall) {
          daemon.stalled.add(request.url ?? "")
          response.on("close", () => daemon.stalled.delete(request.url ?? ""))
          return
        }
        const blob = daemon.blobs.get(request.url ?? "")
        daemon.blobs.delete(request.url ?? "")
        const known = daemon.connections.some(
          ({ upgrade }) => upgrade?.headers.authorization === request.headers.authorization
        )
        response.writeHead(known ? (blob === undefined ? 404 : 200) : 401).end(known ? blob : undefined)
      })
      http.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        if (options.upgradeStatus !== undefined) {
          return void socket.end(`HTTP/1.1 ${options.upgradeStatus} Not Today\r\nContent-Length: 0\r\n\r\n`)
        }
        server.handleUpgrade(request, socket, head, (ws) => {
          const connection: Connection = new Connection(daemon, ws, (text) => ws.send(text), request)
          daemon.connections.push(connection)
          ws.on("error", () => {})
          ws.on("ping", () => connection.pings++)
          ws.on("message", (data: RawData, binary: boolean) => {
            // A binary request is ignored, for ever.
            if (!binary) {
              connection.receive((data as Buffer).toString())
            }
          })
          ws.on("close", (code) => {
            connection.closed = { code }
            connection.job = undefined
          })
        })
      })
      http.listen(0, "127.0.0.1", () => {
        daemon.port = (http.address() as AddressInfo).port
        resume(
          Effect.succeed({
            daemon,
            close: () => {
              daemon.stop()
              server.close()
              http.close()
              for (const socket of sockets) {
                socket.destroy()
              }
            }
          })
        )
      })
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ daemon }) => daemon))
