/** A workflow: three steps, each done once, wherever they are done. */
import { Activity, Workflow } from "@effect/workflow"
import { SqlClient } from "@sluice/sql"
import { Effect, Schema } from "effect"

export const steps = ["reserve", "charge", "ship"] as const

export const Shipment = Workflow.make({
  name: "Shipment",
  payload: { order: Schema.String },
  success: Schema.Struct({ order: Schema.String, done: Schema.Array(Schema.String) }),
  idempotencyKey: ({ order }) => order
})

/** The result of a finished step is stored; only a step in whose middle its runner dies is begun again. */
export const ShipmentLive = (runner: string) =>
  Shipment.toLayer(({ order }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const done = yield* Effect.forEach(steps, (step) =>
        Activity.make({
          name: step,
          success: Schema.String,
          execute: Effect.sleep("1500 millis").pipe(
            Effect.zipRight(sql`insert into steps ${sql.insert({ shipment: order, step, runner })}`),
            Effect.orDie,
            Effect.as(`${step} by ${runner}`)
          )
        })
      )
      return { order, done }
    })
  )
