/** The command `sluice-mapepire-server`, which `bin/` starts. */
import { readFileSync } from "node:fs"
import { Command, Options, ValidationError } from "@effect/cli"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { serve } from "./internal/bin/serve.js"

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

const options = {
  port: Options.integer("port").pipe(
    Options.withAlias("p"),
    Options.withDefault(8076),
    Options.withDescription("Port to listen on; 0: any that is free")
  ),
  host: Options.text("host").pipe(Options.withDefault("127.0.0.1"), Options.withDescription("Address to listen on")),
  file: Options.text("file").pipe(
    Options.withAlias("f"),
    Options.optional,
    Options.withDescription("SQLite database to serve; a new one gets sample tables. Default: a temporary one")
  ),
  user: Options.text("user").pipe(
    Options.withAlias("u"),
    Options.optional,
    Options.withDescription("The user who may sign on. Default: DEV")
  ),
  password: Options.redacted("password").pipe(
    Options.optional,
    Options.withDescription("The user's password. Default on a loopback address: dev")
  ),
  users: Options.text("users").pipe(
    Options.optional,
    Options.withDescription("A file of users instead: lines USER:PASSWORD")
  ),
  plain: Options.boolean("plain").pipe(Options.withDescription("ws:// without TLS")),
  cert: Options.text("cert").pipe(
    Options.optional,
    Options.withDescription("Certificate in PEM, with --key. Default: one is made for this run")
  ),
  key: Options.text("key").pipe(Options.optional, Options.withDescription("The certificate's key in PEM")),
  daemon: Options.choice("daemon", ["2.3.2", "2.3.3", "2.3.6", "next"]).pipe(
    Options.withDefault("2.3.6" as const),
    Options.withDescription("The daemon's version to be like")
  )
}

const command = Command.make("sluice-mapepire-server", options, serve).pipe(
  Command.withDescription("A Mapepire daemon over SQLite, to develop and test with where there is no IBM i.")
)

const program = Command.run(command, { name: "sluice-mapepire-server", version })(process.argv)

// A terminal that is closed ends it as Ctrl-C does.
process.once("SIGHUP", () => process.emit("SIGTERM"))

program.pipe(
  // What the user can mend is told in a line; the command line's own errors have been printed already.
  Effect.catchAllCause((cause) => {
    const error = Cause.squash(cause)
    if (Cause.isInterruptedOnly(cause)) {
      return Effect.failCause(cause)
    }
    const shown = ValidationError.isValidationError(error)
      ? Effect.void
      : Console.error(error instanceof Error ? error.message : String(error))
    return Effect.zipRight(
      shown,
      Effect.sync(() => void (process.exitCode = 1))
    )
  }),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
