/** What runners and clients of the cluster share: the file, and how soon a runner that died is noticed. */
import { ClusterWorkflowEngine, RunnerAddress, type ShardingConfig } from "@effect/cluster"
import { NodeClusterSocket } from "@effect/platform-node"
import { SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Layer, Option } from "effect"

/**
 * Short times, so that one can watch. A runner that dies loses its shards after `shardLockExpiration`; it is also the
 * longest that a runner may be unable to reach the database before its work is taken from it.
 */
const times: Partial<ShardingConfig.ShardingConfig["Type"]> = {
  shardsPerGroup: 32,
  shardLockExpiration: "9 seconds",
  shardLockRefreshInterval: "3 seconds",
  runnerHealthCheckInterval: "1 second",
  refreshAssignmentsInterval: "500 millis",
  entityMessagePollInterval: "500 millis",
  entityReplyPollInterval: "200 millis",
  entityTerminationTimeout: "2 seconds"
}

/** All processes share this one file: messages, replies, locks of the shards, and what the example itself stores. */
const storage = (filename: string) =>
  Layer.provideMerge(
    Layer.effectDiscard(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`
          create table if not exists deposits(id text primary key, account text, amount integer, runner text) strict
        `
        yield* sql`create table if not exists steps(shipment text, step text, runner text) strict`
      })
    ),
    SqliteClient.layer({ filename, readers: 1, busyTimeout: "10 seconds" })
  )

export const runner = (filename: string, port: number) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provideMerge(
      NodeClusterSocket.layer({
        shardingConfig: { ...times, runnerAddress: Option.some(RunnerAddress.make("127.0.0.1", port)) }
      })
    ),
    Layer.provideMerge(storage(filename))
  )

/** Sends messages and waits for replies; nothing runs here. */
export const client = (filename: string) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provideMerge(
      NodeClusterSocket.layer({ clientOnly: true, shardingConfig: { ...times, runnerAddress: Option.none() } })
    ),
    Layer.provideMerge(storage(filename))
  )
