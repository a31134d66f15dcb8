import { randomBytes } from 'node:crypto'
import { ConfigError } from '@stowage/core'
import { Env, type Variables } from '@stowage/core/driver'

/** Any other value of `NODE_ENV`, also none, is production: a forgotten variable must not weaken an application. */
const developmentModes = ['development', 'test']
/** With a cookie, secrets can be tried as fast as an HMAC is computed, so that short texts and words are found. */
const minSecretLength = 32
const suggestion = 'Use a random text, as of: openssl rand -base64 32.'

/**
 * Returns the secrets of `SESSION_SECRET`, which sign the cookie of a session: of a list separated by commas, the first one signs,
 * and all are accepted. If it is not set and `NODE_ENV` is `development` or `test`, returns a random one, so that sessions end
 * with the process.
 *
 * @throws ConfigError if it is not set, or the first one has fewer than 32 characters, in production: for any other
 *   `NODE_ENV`, also none
 * @example
 * const secret = sessionSecret({ ...process.env, NODE_ENV: 'development' })
 * app.use(session({ secret, store: new Sessions({ cache }) }))
 */
export function sessionSecret(variables: Variables): string[] {
  const env = new Env(variables)
  const secrets = readSecrets(env)
  if (env.problems.length > 0) throw new ConfigError(env.problems)
  return secrets ?? [generatedSecret()]
}

let generated: string | undefined

/** A random secret, the same during the whole process. */
export function generatedSecret(): string {
  generated ??= randomBytes(32).toString('base64url')
  return generated
}

/** The secrets; `undefined` if there are none, or if they are not accepted: then `env` has the problem. */
export function readSecrets(env: Env): string[] | undefined {
  const secrets = secretsIn(env)
  const problem = problemOf(secrets, isProduction(env))
  if (problem === undefined) return secrets
  env.problem('SESSION_SECRET', problem)
  return undefined
}

/**
 * Returns whether `SESSION_SECRET` has an old secret that is only accepted in production, and so short that it would be refused as
 * the first one, for tools.
 *
 * @example
 * if (hasShortOldSecret(process.env)) console.warn('Remove the old secret after the lifetime of sessions.')
 */
export function hasShortOldSecret(variables: Variables): boolean {
  const env = new Env(variables)
  const [, ...old] = secretsIn(env) ?? []
  return isProduction(env) && old.some(isShort)
}

function secretsIn(env: Env): string[] | undefined {
  const text = env.text('SESSION_SECRET')
  return text?.split(',').map((secret) => secret.trim())
}

/** Two secrets that are not separated by a comma. No passphrase begins with such a long word. */
const joinedSecrets: RegExp = new RegExp(`^\\S{${minSecretLength},}\\s`)

function isProduction(env: Env): boolean {
  return !developmentModes.includes(env.text('NODE_ENV') ?? '')
}

function isShort({ length }: string): boolean {
  return length < minSecretLength
}

/** An old secret may be short. Otherwise all users would have to log in again when it is replaced. */
function problemOf(secrets: string[] | undefined, isRequired: boolean): string | undefined {
  if (secrets?.includes('')) return 'contains an empty secret.'
  if (secrets?.some((secret) => joinedSecrets.test(secret)))
    return 'has a space where a comma is missing: two secrets would be one. Use a comma between them.'
  if (!isRequired) return undefined
  const exception = 'required if NODE_ENV is development or test.'
  if (secrets === undefined) return `is not set. ${suggestion} It is not ${exception}`
  if (!isShort(secrets[0] as string)) return undefined
  return `begins with a secret of fewer than ${minSecretLength} characters. ${suggestion} That is not ${exception}`
}
