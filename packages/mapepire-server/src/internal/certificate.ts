/** A certificate like the daemon's own: self-signed, ten years, with the host as common name and no other name. */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { hostname } from "node:os"
import { dirname, join } from "node:path"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import { generate } from "selfsigned"

export interface Certificate {
  /** PEM. */
  readonly cert: string
  /** PEM. */
  readonly key: string
}

const years = 10

const isLocal = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.")

/** The name that clients should connect with. */
export const commonNameOf = (host: string): string => (isLocal(host) ? "localhost" : hostname().toLowerCase())

const make = (commonName: string): Promise<Certificate> => {
  const notAfterDate = new Date()
  notAfterDate.setFullYear(notAfterDate.getFullYear() + years)
  return generate(
    [
      { name: "commonName", value: commonName },
      { shortName: "OU", value: "Web Socket Server" },
      { name: "organizationName", value: "Db2 for IBM i" },
      { shortName: "ST", value: "Unknown" },
      { name: "countryName", value: "US" }
    ],
    {
      keySize: 2048,
      algorithm: "sha256",
      notAfterDate,
      extensions: [
        // Its own issuer: whoever is given it as the only authority must be able to trust it.
        { name: "basicConstraints", cA: true },
        { name: "keyUsage", digitalSignature: true, keyEncipherment: true, keyCertSign: true },
        { name: "extKeyUsage", serverAuth: true }
      ]
    }
  ).then((made) => ({ cert: made.cert, key: made.private }))
}

/** Made anew each time, or once per directory. */
export const generated = (commonName: string, directory: string | undefined): Effect.Effect<Certificate, unknown> =>
  Effect.suspend(() => {
    const made = Effect.tryPromise({ try: () => make(commonName), catch: (error) => error })
    if (directory === undefined) {
      return made
    }
    const files = { cert: join(directory, "server.crt"), key: join(directory, "server.key") }
    if (existsSync(files.cert) && existsSync(files.key)) {
      return Effect.try({
        try: () => ({ cert: readFileSync(files.cert, "utf8"), key: readFileSync(files.key, "utf8") }),
        catch: (error) => error
      })
    }
    return Effect.tap(made, ({ cert, key }) =>
      Effect.try({
        try: () => {
          mkdirSync(dirname(files.key), { recursive: true })
          writeFileSync(files.cert, cert)
          writeFileSync(files.key, key, { mode: 0o600 })
        },
        catch: (error) => error
      })
    )
  })

const parsed = <A>(parse: () => A, why: string): A => {
  try {
    return parse()
  } catch (cause) {
    throw new Error(why, { cause })
  }
}

/** OpenSSL says nothing of it: it would ask for the passphrase. */
const isEncrypted = (key: string): boolean => /^-+BEGIN ENCRYPTED |^Proc-Type:.*\bENCRYPTED/m.test(key)

/** SHA-256, in upper-case hex with colons. Throws what is wrong, also if the two do not fit each other. */
export const fingerprintOf = ({ cert, key }: Certificate): string => {
  const certificate = parsed(() => new X509Certificate(cert), "The certificate is none in PEM")
  const privateKey = parsed(
    () => createPrivateKey(key),
    isEncrypted(key)
      ? "The key is encrypted; it must be given without a passphrase"
      : "The key is no private key in PEM"
  )
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error("The key does not belong to the certificate")
  }
  return certificate.fingerprint256
}

/** The name that clients find in it: the first that is a host's, which hides the subject's, as it does for them. */
export const nameOf = ({ cert }: Certificate): string | undefined => {
  const { subject, subjectAltName } = new X509Certificate(cert)
  return (/(?:^|, )DNS:([^,]+)/.exec(subjectAltName ?? "") ?? /^CN=(.+)$/m.exec(subject))?.[1]
}
