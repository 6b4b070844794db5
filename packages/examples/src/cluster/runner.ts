/**
 * A runner of the cluster. Start two, with one file and different ports, and `client.js`; end one of them, however
 * rudely, and the other one takes over.
 *
 *     node packages/examples/dist/cluster/runner.js /tmp/cluster.db 34431
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { AccountLive } from "./account.js"
import { runner } from "./cluster.js"
import { ShipmentLive } from "./shipment.js"

const [filename, port] = process.argv.slice(2)

if (filename === undefined || !(Number(port) > 0)) {
  process.stderr.write("runner.js <database file> <port>\n")
  process.exitCode = 1
} else {
  const name = `runner ${port}`
  Layer.mergeAll(AccountLive(name), ShipmentLive(name), Layer.effectDiscard(Console.log(`${name} is ready`))).pipe(
    Layer.provide(runner(filename, Number(port))),
    Layer.launch,
    Effect.scoped,
    NodeRuntime.runMain
  )
}
