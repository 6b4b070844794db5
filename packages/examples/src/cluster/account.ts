/** An entity: accounts, each living on one runner at a time, whose deposits are kept until they are answered. */
import { ClusterSchema, Entity } from "@effect/cluster"
import { Rpc } from "@effect/rpc"
import { SqlClient } from "@sluice/sql"
import { Effect, Schema } from "effect"

/** `Persisted`: stored before it is sent, so it outlives the runner. The primary key makes a repeated one the same one. */
const Deposit = Rpc.make("deposit", {
  payload: { id: Schema.String, amount: Schema.Number },
  success: Schema.Struct({ balance: Schema.Number }),
  primaryKey: ({ id }) => id
}).annotate(ClusterSchema.Persisted, true)

export const Account = Entity.make("Account", [Deposit])

/**
 * A message whose runner dies before the answer is stored comes again, to another runner. So the work is one transaction
 * that knows what it has done already.
 */
export const AccountLive = (runner: string) =>
  Account.toLayer(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { entityId } = yield* Entity.CurrentAddress
      const book = (id: string, amount: number) =>
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`
              insert into deposits ${sql.insert({ id, account: entityId, amount, runner })} on conflict(id) do nothing
            `
            const [sum] = yield* sql<{ balance: number }>`
              select sum(amount) as balance from deposits where account = ${entityId}
            `
            return { balance: sum!.balance }
          })
        )
      return Account.of({
        // The pause is there so that one can watch.
        deposit: ({ payload: { amount, id } }) => Effect.delay(Effect.orDie(book(id, amount)), "500 millis")
      })
    })
  )
