/** Some work for the cluster: what to wait for, and what to expect. */
import { Effect } from "effect"
import { Account } from "./account.js"
import { Shipment } from "./shipment.js"

const names = (prefix: string, n: number) => Array.from({ length: n }, (_, i) => `${prefix}-${i + 1}`)

export const accounts = names("account", 8)
export const orders = names("order", 6)
/** Of each account; each is of 10. */
export const deposits = 10
export const amount = 10

/** Everything at once. Answers the final balances and the finished shipments. */
export const work = Effect.gen(function* () {
  const account = yield* Account.client
  const deposit = (name: string, number: number) => account(name).deposit({ id: `${name}/${number}`, amount })
  const numbers = Array.from({ length: deposits }, (_, i) => i + 1)
  const all = { concurrency: "unbounded" } as const
  const balances = Effect.forEach(
    accounts,
    (name) =>
      Effect.map(
        Effect.forEach(numbers, (number) => deposit(name, number), all),
        (replies) => ({ name, balance: Math.max(...replies.map(({ balance }) => balance)) })
      ),
    all
  )
  const shipments = Effect.forEach(orders, (order) => Shipment.execute({ order }), all)
  return yield* Effect.all({ balances, shipments }, all)
})
