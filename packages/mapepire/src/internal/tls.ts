/**
 * Whom to trust. Daemons make their own certificate: self-signed, with a common name and no subjectAltName, so besides the
 * usual verification there must be a CA of one's own, another name to expect, and a fingerprint to pin.
 */
import { createHash, X509Certificate } from "node:crypto"
import { isIP } from "node:net"
import * as tls from "node:tls"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as failure from "./failure.js"
import { longestTimer } from "./longestTimer.js"

export interface TlsConfig {
  /** PEM text of the certificates to trust, instead of those that Node trusts. */
  readonly ca?: string | Uint8Array | ReadonlyArray<string | Uint8Array> | undefined
  /** The name that the certificate must carry, when it is another one than `host`. */
  readonly servername?: string | undefined
  /**
   * The SHA-256 fingerprint of the daemon's certificate: 64 hexadecimal digits, with or without colons. The certificate
   * must be this one. Without `ca` nothing else is asked of it, neither issuer nor name nor date.
   */
  readonly fingerprint?: string | undefined
  /** Verifies nothing: anybody on the way can read the password. Default false. */
  readonly insecure?: boolean | undefined
}

/** A certificate as a server presents it. */
export interface Certificate {
  /** For `tls.ca`. */
  readonly pem: string
  /** For `tls.fingerprint`. */
  readonly fingerprint: string
  readonly subject: string
  readonly issuer: string
  /** The common name, for `tls.servername` when `host` is another name or an address. */
  readonly commonName: string | undefined
  readonly validFrom: string
  readonly validTo: string
  readonly selfSigned: boolean
}

/** As Node and OpenSSL print it. */
const fingerprintOf = (der: Uint8Array): string =>
  createHash("sha256")
    .update(der)
    .digest("hex")
    .toUpperCase()
    .replaceAll(/(..)(?!$)/g, "$1:")

const hex = (fingerprint: string): string => fingerprint.replaceAll(/[:\s]/g, "").toUpperCase()

/** A certificate in PEM: Node passes over whatever is none, and would then trust nobody. */
const certificates = /^-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----[ \t]*\r?\n[^-]+^-----END /m

const notPem = (text: string): string =>
  "tls.ca must be the text of a PEM certificate" +
  (/-----BEGIN [^\n]*\\n/.test(text)
    ? ": its lines must end in line feeds, and these end in a backslash and an n"
    : ", which has a line -----BEGIN CERTIFICATE-----; not the path of its file, nor anything else")

/** What is wrong with a configuration, if anything. */
export const check = (config: TlsConfig | undefined): SqlError | undefined => {
  if (config?.fingerprint !== undefined && !/^[0-9A-F]{64}$/.test(hex(config.fingerprint))) {
    return failure.badConfig(
      "tls.fingerprint must be a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons"
    )
  }
  if (config?.ca === undefined) {
    return undefined
  }
  const texts = pemOf(config.ca).map(String)
  const wrong = texts.length === 0 ? "" : texts.find((text) => !certificates.test(text))
  return wrong === undefined ? undefined : failure.badConfig(notPem(wrong))
}

/** What went wrong with trust, told apart from what went wrong with the network. */
export class Distrust extends Error {}

/**
 * Opens a connection as the configuration asks. The pin is compared in the moment in which the handshake ends, before
 * anything of ours (the password) is sent.
 */
export const connector =
  (config: TlsConfig) =>
  (options: tls.ConnectionOptions & { readonly path?: string | undefined }): tls.TLSSocket => {
    const pin = config.fingerprint === undefined ? undefined : hex(config.fingerprint)
    const host = options.host ?? "localhost"
    const servername = config.servername ?? (isIP(host) === 0 ? host : "")
    const socket = tls.connect({
      ...options,
      path: undefined,
      servername,
      ...(config.ca === undefined ? undefined : { ca: pemOf(config.ca) }),
      rejectUnauthorized: config.insecure !== true && (pin === undefined || config.ca !== undefined)
    })
    if (pin !== undefined) {
      socket.once("secureConnect", () => {
        const presented = fingerprintOf(socket.getPeerCertificate().raw)
        if (hex(presented) !== pin) {
          socket.destroy(new Distrust(`its certificate has the fingerprint ${presented}, which is not tls.fingerprint`))
        }
      })
    }
    return socket
  }

const pemOf = (ca: NonNullable<TlsConfig["ca"]>): Array<string | Buffer> =>
  (typeof ca === "string" || ca instanceof Uint8Array ? [ca] : ca).map((one) =>
    typeof one === "string" ? one : Buffer.from(one)
  )

const untrusted: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_UNTRUSTED"
])

/** What to do about an error of TLS; undefined for any other error. */
export const adviceFor = (error: unknown): string | undefined => {
  if (error instanceof Distrust) {
    return "If the certificate was renewed, fetch it with `certificate` and compare it with the daemon's"
  }
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined
  if (typeof code !== "string") {
    return undefined
  }
  if (untrusted.has(code)) {
    return (
      "The daemon's certificate is not one that is trusted here. Fetch it with `certificate`, make sure that it is the " +
      "daemon's, and pass it as tls.ca, or its fingerprint as tls.fingerprint"
    )
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return "The certificate is for another name: pass that name as tls.servername"
  }
  return code === "CERT_HAS_EXPIRED" ? "The certificate has expired: renew it on the daemon's side" : undefined
}

/** The certificate that a server presents; verifies nothing. */
export const certificate = (options: {
  readonly host: string
  readonly port?: number | undefined
  readonly servername?: string | undefined
  readonly timeoutMillis: number
}): Effect.Effect<Certificate, SqlError> =>
  Effect.async<Certificate, SqlError>((resume) => {
    const { host, port = 8076, timeoutMillis } = options
    const fail = (error: unknown) => {
      socket.destroy()
      resume(Effect.fail(failure.unreachable(`${host}:${port}`, failure.textOf(error), error)))
    }
    const socket = tls.connect({
      host,
      port,
      servername: options.servername ?? (isIP(host) === 0 ? host : ""),
      rejectUnauthorized: false
    })
    socket.setTimeout(Math.min(timeoutMillis, longestTimer), () =>
      fail(new Error(`no answer within ${timeoutMillis} ms`))
    )
    socket.on("error", fail)
    socket.once("secureConnect", () => {
      const { raw } = socket.getPeerCertificate()
      socket.destroy()
      resume(Effect.try({ try: () => describe(raw), catch: (error) => failure.unreachable(host, String(error)) }))
    })
    return Effect.sync(() => socket.destroy())
  })

const oneLine = (name: string): string => name.split("\n").join(", ")

const describe = (der: Buffer): Certificate => {
  const parsed = new X509Certificate(der)
  return {
    pem: parsed.toString(),
    fingerprint: fingerprintOf(der),
    subject: oneLine(parsed.subject),
    issuer: oneLine(parsed.issuer),
    commonName: /^CN=(.*)$/m.exec(parsed.subject)?.[1],
    validFrom: parsed.validFrom,
    validTo: parsed.validTo,
    selfSigned: parsed.checkIssued(parsed) && parsed.verify(parsed.publicKey)
  }
}
