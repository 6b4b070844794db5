/**
 * Gives the cluster some work and waits until it is done.
 *
 *     node packages/examples/dist/cluster/client.js /tmp/cluster.db
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { client } from "./cluster.js"
import { work } from "./work.js"

const [filename] = process.argv.slice(2)

if (filename === undefined) {
  process.stderr.write("client.js <database file>\n")
  process.exitCode = 1
} else {
  work.pipe(
    Effect.flatMap(({ balances, shipments }) =>
      Effect.zipRight(Console.table(balances), Console.table(shipments.map(({ done, order }) => ({ order, ...done }))))
    ),
    Effect.provide(client(filename)),
    NodeRuntime.runMain
  )
}
