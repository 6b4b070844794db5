/** Who signs on. A wrong password is tried once: a profile is disabled after a few, and a pool would try it often. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { SqlFailure } from "@sluice/sql"
import type * as Scope from "effect/Scope"
import type { Credentials } from "../../MapepireJob.js"
import * as failure from "../failure.js"
import { Attempts } from "./attempts.js"

/** The daemon splits at every colon, and joins its JDBC URL with semicolons. */
const unfit = ({ factor, password, user }: Credentials): string | undefined => {
  const secret = Redacted.value(password)
  if (user === "" || secret === "") {
    return "The user and the password must not be empty"
  }
  const texts = [user, secret, factor === undefined ? "" : Redacted.value(factor)]
  if (texts.some((text) => /\p{Cs}/u.test(text))) {
    return "The user, the password and the one-time code must not contain half a character (a lone surrogate)"
  }
  if (/[:;*]/.test(user)) {
    return "The user must not contain a colon, a semicolon or an asterisk: the daemon does not take it"
  }
  if (/[:;]/.test(secret)) {
    return "The password contains a colon or a semicolon, which the daemon cannot take: change it on the system"
  }
  return factor !== undefined && /[;=]/.test(Redacted.value(factor))
    ? "The one-time code must not contain a semicolon or an equals sign"
    : undefined
}

const keyOf = ({ factor, password, user }: Credentials): string =>
  JSON.stringify([user, Redacted.value(password), factor === undefined ? "" : Redacted.value(factor)])

/** The value of the `Authorization` header. */
export const authorization = ({ password, user }: Credentials): Redacted.Redacted =>
  Redacted.make("Basic " + Buffer.from(`${user}:${Redacted.value(password)}`, "utf8").toString("base64"))

/** What nobody may read in a failure: the password, the code, and the header in which the password travels. */
export const secretsOf = (credentials: Credentials): ReadonlyArray<Redacted.Redacted> => {
  const { factor, password } = credentials
  const header = Redacted.value(authorization(credentials)).replace(/^Basic |=+$/g, "")
  return [Redacted.make(header), password, ...(factor === undefined || Redacted.value(factor) === "" ? [] : [factor])]
}

/**
 * One per layer: remembers which credentials were refused, and lets one connect at a time find out whether they are good.
 * That they once were proves little: the password may have been changed before a pool connects anew.
 */
export class Login {
  private readonly refused = new Set<string>()
  /** What has signed on last, and how many have signed on by now. */
  private proven: string | undefined
  private proofs = 0
  private readonly turn = Effect.unsafeMakeSemaphore(1)
  private readonly attempts = new Attempts()

  constructor(
    private readonly address: string,
    private readonly credentials: Effect.Effect<Credentials, SqlError>
  ) {}

  /**
   * Asks for credentials and signs on with them. When its caller leaves, the attempt goes on until it is known whether the
   * password is wrong, and nobody else tries the same one meanwhile. `patience`: milliseconds, see `Attempts`.
   */
  use<A>(
    connect: (credentials: Credentials) => Effect.Effect<A, SqlError, Scope.Scope>,
    patience: number
  ): Effect.Effect<A, SqlError, Scope.Scope> {
    return this.sign(connect, patience, undefined)
  }

  /** The same over a link that is there: its user and its password stay what they are, only a one-time code is another one. */
  again<A>(
    connect: (credentials: Credentials) => Effect.Effect<A, SqlError, Scope.Scope>,
    patience: number,
    link: Credentials
  ): Effect.Effect<A, SqlError, Scope.Scope> {
    return this.sign(connect, patience, link)
  }

  /** Ends the attempts whose callers have left. */
  get end(): Effect.Effect<void> {
    return this.attempts.end
  }

  private sign<A>(
    connect: (credentials: Credentials) => Effect.Effect<A, SqlError, Scope.Scope>,
    patience: number,
    link: Credentials | undefined
  ): Effect.Effect<A, SqlError, Scope.Scope> {
    return Effect.flatMap(this.credentials, (given) => {
      const credentials = link === undefined ? given : { ...link, factor: given.factor }
      const wrong = unfit(credentials)
      if (wrong !== undefined) {
        return Effect.fail(failure.badConfig(wrong))
      }
      const key = keyOf(credentials)
      const learning = Effect.suspend(() => connect(credentials)).pipe(
        Effect.tapBoth({
          onSuccess: () =>
            Effect.sync(() => {
              this.proven = key
              this.proofs++
            }),
          onFailure: (error) =>
            Effect.sync(() => {
              if (SqlFailure.is("Authentication")(error)) {
                this.refused.add(key)
                if (this.proven === key) {
                  this.proven = undefined
                }
              }
            })
        })
      )
      const attempt = Effect.suspend(() =>
        this.refused.has(key)
          ? Effect.fail(failure.rejectedBefore(credentials.user, this.address))
          : this.attempts.run(key, patience, learning)
      )
      return Effect.suspend(() => {
        const before = this.proofs
        // Waiting for what nobody answers keeps only those from their turn who would try the same.
        const inTurn: Effect.Effect<A, SqlError, Scope.Scope> = Effect.suspend(() =>
          Effect.flatten(
            this.turn.withPermits(1)(
              Effect.suspend(() => {
                // Whoever has waited for one that signed on with the same needs not be alone any more.
                const known = this.refused.has(key) || (this.proven === key && this.proofs !== before)
                const next = known ? undefined : this.attempts.oneOf(key)
                return known
                  ? Effect.succeed(attempt)
                  : next !== undefined
                    ? Effect.succeed(Effect.zipRight(next, inTurn))
                    : Effect.map(attempt, Effect.succeed)
              })
            )
          )
        )
        return inTurn
      })
    })
  }
}
