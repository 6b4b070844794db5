/** Who gets in: the upgrade, and the sign-on by `connect`. */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { checkServerIdentity } from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { generate } from "selfsigned"
import { authorization, connected, get, open, serve, temporary } from "./support.js"

const encoded = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`

describe("the upgrade", () => {
  it.scopedLive.each<readonly [string, string | undefined, number, string]>([
    ["without a header", undefined, 403, "Authorization header missing"],
    ["with another scheme", "Bearer abc", 403, "Invalid Authorization header"],
    [
      "with the scheme in lower case",
      encoded("DEV:secret").replace("Basic", "basic"),
      403,
      "Invalid Authorization header"
    ],
    ["without a colon", encoded("DEV"), 403, "Invalid Authorization header"],
    ["with an empty password", encoded("DEV:"), 403, "Invalid Authorization header"],
    ["with a colon in the password", encoded("DEV:se:cret"), 403, "Invalid Authorization header"],
    ["with an empty user", encoded(":secret"), 503, "Endpoint Creation Failed"],
    ["with a blank password", encoded("DEV: "), 503, "Endpoint Creation Failed"],
    ["with a star in the user", encoded("D*V:secret"), 503, "Endpoint Creation Failed"],
    ["with bad base64", "Basic ####", 500, "Illegal base64"]
  ])("is refused %s", ([, header, status, reason]) =>
    Effect.gen(function* () {
      const server = yield* serve()
      const refused = yield* Effect.flip(open(server, { header }))
      expect(refused.status).toBe(status)
      expect(refused.body).toContain(reason)
    })
  )

  it.scopedLive("is for /db and everything below", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const path of ["/db", "/db/x/y", "/db/?a=b"]) {
        const client = yield* open(server, { path })
        expect((yield* client.connect()).success).toBe(true)
      }
      expect((yield* Effect.flip(open(server, { path: "/" }))).status).toBe(404)
      expect((yield* Effect.flip(open(server, { path: "/dbx/" }))).status).toBe(404)
    })
  )

  it.scopedLive("succeeds with a wrong password: connect tells", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* open(server, { password: "wrong" })
      const answer = yield* client.connect()
      expect(answer).toMatchObject({ success: false, sql_state: null, sql_rc: 0 })
      expect(answer.error).toContain("(Password is incorrect.)")
      const stranger = yield* open(server, { user: "NOBODY" })
      expect((yield* stranger.connect()).error).toContain("User ID is not known")
    })
  )

  it.scopedLive("takes user names in any case, and only the part of a password before a semicolon", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      expect((yield* Effect.flatMap(open(server, { user: "dev" }), (client) => client.connect())).success).toBe(true)
      const injected = yield* open(server, { password: "secret;auto commit=false" })
      expect((yield* injected.connect()).success).toBe(true)
    })
  )

  it.scopedLive("refuses by rule at connect, the last line that fits deciding", () =>
    Effect.gen(function* () {
      const shipped = yield* serve({ users: { QSECOFR: "secret" } })
      const officer = yield* open(shipped, { user: "qsecofr" })
      expect((yield* officer.connect()).error).toBe("Connection refused by security rule at line 2")
      const own = yield* serve({ rules: "deny *@*\n# but\nallow dev@127.*" })
      expect((yield* Effect.flatMap(open(own), (client) => client.connect())).success).toBe(true)
      const other = yield* open(own, { user: "OTHER", password: "other" })
      expect((yield* other.connect()).error).toBe("Connection refused by security rule at line 1")
    })
  )

  it.scopedLive("can be refused on purpose", () =>
    Effect.gen(function* () {
      const server = yield* serve({ faults: { refuseUpgrade: 403 } })
      expect((yield* Effect.flip(open(server))).status).toBe(403)
    })
  )
})

describe("connect", () => {
  it.scopedLive("refuses an unknown technique", () =>
    Effect.gen(function* () {
      const client = yield* open(yield* serve())
      const refused = yield* client.ask({ type: "connect", technique: "smoke" })
      expect(refused.error).toBe("Invalid connection technique specified")
      expect(refused).not.toHaveProperty("sql_state")
      expect(refused).not.toHaveProperty("sql_rc")
    })
  )

  it.scopedLive("a second time opens another job, and results of the first read as empty and finished", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const result = yield* client.sql("select deptno from department order by deptno", { rows: 2 })
      expect(result.is_done).toBe(false)
      const again = yield* client.connect()
      expect(again.job).not.toBe(client.job)
      const more = yield* client.ask({ type: "sqlmore", cont_id: result.id })
      expect(more).toMatchObject({ success: true, data: [], is_done: true })
    })
  )
})

describe("TLS", () => {
  it.scopedLive("has a certificate with a common name and no other name, which clients can trust", () =>
    Effect.gen(function* () {
      const server = yield* serve({ tls: {} })
      expect(server.url).toMatch(/^wss:/)
      const client = yield* connected(server, undefined, {
        socket: { ca: server.certificate, servername: "localhost", checkServerIdentity }
      })
      expect((yield* client.sql("values 1")).data).toEqual([[1]])
      const certificate = new X509Certificate(server.certificate)
      expect(certificate.subject).toContain("CN=localhost")
      expect(certificate.subjectAltName).toBeUndefined()
      expect(certificate.fingerprint256).toBe(server.fingerprint)
    })
  )

  it.scopedLive("tells the name of the certificate that it has, wherever that comes from", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const first = yield* serve({ tls: { directory, commonName: "first.example" } })
      expect((yield* serve({ tls: { directory } })).commonName).toBe("first.example")
      const { cert, private: key } = yield* Effect.promise(() =>
        generate([{ name: "commonName", value: "db.example" }], { keySize: 2048 })
      )
      expect(first.commonName).toBe("first.example")
      expect((yield* serve({ tls: { cert, key } })).commonName).toBe("db.example")
    })
  )

  it.scopedLive("has the name of the address on all addresses, too", () =>
    Effect.gen(function* () {
      const server = yield* serve({ host: "0.0.0.0", tls: {} })
      expect(server.url).toBe(`wss://${server.commonName}:${server.port}/db/`)
    })
  )

  it.scopedLive("tells what is wrong with a certificate that is of no use", () =>
    Effect.gen(function* () {
      const made = yield* Effect.promise(() => generate([{ name: "commonName", value: "here" }]))
      const other = yield* Effect.promise(() => generate([{ name: "commonName", value: "there" }]))
      const { cert, private: key } = made
      const passphrase = { cipher: "aes-128-cbc", passphrase: "secret" }
      const encrypted = (type: "pkcs1" | "pkcs8") =>
        createPrivateKey(key)
          .export({ type, format: "pem", ...passphrase })
          .toString()
      for (const [tls, message] of [
        [{ cert: key, key: cert }, "The certificate is none in PEM"],
        [{ cert, key: cert }, "The key is no private key in PEM"],
        [{ cert, key: encrypted("pkcs1") }, "The key is encrypted; it must be given without a passphrase"],
        [{ cert, key: encrypted("pkcs8") }, "The key is encrypted; it must be given without a passphrase"],
        [{ cert, key: other.private }, "The key does not belong to the certificate"]
      ] as const) {
        const failure = yield* Effect.flip(serve({ tls }))
        expect(failure).toMatchObject({
          reason: "Certificate",
          message: `No certificate to serve with: ${message}`
        })
      }
    })
  )

  it.scopedLive("is not trusted by those who were not given the certificate", () =>
    Effect.gen(function* () {
      const server = yield* serve({ tls: {} })
      const refused = yield* Effect.flip(open(server, { socket: { ca: undefined } }))
      expect(refused.body).toMatch(/self-signed|unable to verify/)
    })
  )
})

describe("HTTP", () => {
  it.scopedLive("tells the version, if the daemon's version does (section 1.6)", () =>
    Effect.gen(function* () {
      const answer = yield* get(yield* serve({ version: "2.3.6" }), "/version")
      expect([answer.status, answer.body.toString()]).toEqual([200, '{"version":"2.3.6"}'])
      expect((yield* get(yield* serve({ version: "2.3.3" }), "/version")).status).toBe(404)
      const server = yield* serve()
      expect((yield* get(server, "/version?x=1")).status).toBe(200)
      expect((yield* get(server, "/versions")).status).toBe(404)
      const url = server.url.replace("ws:", "http:").replace("/db/", "/version")
      const head = yield* Effect.promise(() => fetch(url, { method: "HEAD" }))
      expect([head.status, head.headers.get("content-type")]).toEqual([200, "application/json"])
    })
  )

  it.scopedLive("hands out binary values of newer daemons once, to the same login", () =>
    Effect.gen(function* () {
      const server = yield* serve({ version: "next" })
      const client = yield* connected(server)
      const value = Effect.map(client.sql("values cast(x'0102ff' as varbinary(3))"), (answer) => answer.data[0][0])
      const mine = { authorization: authorization("DEV", "secret") }
      const first = yield* value
      expect(first).toMatchObject({ size: 3 })
      expect((yield* get(server, first.blob_url, mine)).body).toEqual(Buffer.from([1, 2, 255]))
      expect((yield* get(server, first.blob_url, mine)).status).toBe(404)
      expect((yield* get(server, (yield* value).blob_url)).status).toBe(401)
    })
  )
})
