/** A server in a process of its own, and the clients of it: ours and @ibm/mapepire-js. */
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { MapepireClient } from "@sluice/mapepire"
import { Effect, Redacted } from "effect"

const serverEntry = fileURLToPath(new URL("server.mjs", import.meta.url))

/** Runs `use` beside a server whose table NUMBERS has so many rows. */
export const withServer = async (rows, use) => {
  const child = fork(serverEntry, [String(rows)], { execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] })
  const ended = new Promise((resolve) => child.once("exit", resolve))
  try {
    const server = await new Promise((resolve, reject) => {
      child.once("message", resolve)
      child.once("exit", (code) => reject(new Error(`The server ended with code ${code}`)))
    })
    return await use({ ...server, pid: child.pid })
  } finally {
    if (child.connected) {
      child.disconnect()
    }
    await ended
  }
}

/** Ours: four sockets at most, unless told otherwise. */
export const withSluice = ({ certificate, commonName, port }, config, program) =>
  Effect.runPromise(
    Effect.flatMap(MapepireClient.MapepireClient, program).pipe(
      Effect.provide(
        MapepireClient.layer({
          host: "127.0.0.1",
          port,
          user: "DEV",
          password: Redacted.make("dev"),
          tls: { ca: certificate, servername: commonName },
          ...config
        })
      )
    )
  )

const credentials = ({ certificate, port }) => ({
  host: "localhost",
  port,
  user: "DEV",
  password: "dev",
  ca: certificate,
  rejectUnauthorized: true
})

/** Theirs: a pool of four jobs, all connected. */
export const withPool = async (server, use) => {
  const { Pool } = await import("../../peers/mapepire.mjs")
  const pool = new Pool({ creds: credentials(server), maxSize: 4, startingSize: 4 })
  await pool.init()
  try {
    return await use(pool)
  } finally {
    pool.end()
  }
}

export const withJob = async (server, use) => {
  const { SQLJob } = await import("../../peers/mapepire.mjs")
  const job = new SQLJob()
  await job.connect(credentials(server))
  try {
    return await use(job)
  } finally {
    await job.close()
  }
}
