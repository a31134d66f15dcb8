import { CacheError, type CacheErrorCode } from '@stowage/core'
import { DeadlineError } from '@stowage/core/driver'

/** Where requests are sent, for error messages. */
export interface Target {
  readonly table: string
  readonly region: string | undefined
  readonly endpoint: string | undefined
  /** Host and port that requests are sent to, once they are known. */
  readonly host?: string | undefined
}

/** What an error of the SDK becomes. */
interface Translation {
  readonly code: CacheErrorCode
  readonly retryable?: boolean
  readonly remedy: string
}

export const capacityRemedy: string =
  'Requests exceed the capacity of the table or of one partition: use on-demand billing, raise the provisioned units, or ' +
  'spread a hot key.'

const throttled: Translation = {
  code: 'ERR_CACHE_REJECTED',
  retryable: true,
  remedy: capacityRemedy,
}
const invalidCredentials: Translation = {
  code: 'ERR_CACHE_REJECTED',
  remedy:
    'Check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, a profile or a role), and that ' +
    'they are valid in the region.',
}
const clockSkew: Translation = {
  code: 'ERR_CACHE_REJECTED',
  remedy: 'Set the clock of this machine: a signature is valid for a few minutes only.',
}
const missingCredentials: Translation = {
  code: 'ERR_CACHE_CONFIG',
  remedy:
    'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role. DynamoDB Local accepts any letters and digits.',
}
const missingRegion: Translation = {
  code: 'ERR_CACHE_CONFIG',
  remedy: 'Set AWS_REGION, for example to eu-central-1.',
}
const unavailable: Translation = { code: 'ERR_CACHE_UNAVAILABLE', remedy: '' }
const rejected: Translation = { code: 'ERR_CACHE_REJECTED', remedy: '' }

/** By the name of the exception. Other exceptions with a status below 500 are `rejected`. */
const translations: ReadonlyMap<string, Translation> = new Map(
  Object.entries({
    ProvisionedThroughputExceededException: throttled,
    ThrottlingException: throttled,
    RequestLimitExceeded: throttled,
    InternalServerError: unavailable,
    CRC32CheckFailed: unavailable,
    ServiceUnavailable: unavailable,
    CredentialsProviderError: missingCredentials,
    MissingAuthenticationTokenException: missingCredentials,
    UnrecognizedClientException: invalidCredentials,
    ExpiredTokenException: invalidCredentials,
    IncompleteSignatureException: invalidCredentials,
  }),
)

/** Messages of a ValidationException for a table with another key schema. */
const keyMismatch =
  /key element does not match|Missing the key|required keys was not given|Type mismatch for key/

/** An exception, with the members that clients add. */
type Failure = NodeJS.ErrnoException & {
  readonly $metadata?: { readonly httpStatusCode?: number }
  /** False if the request was certainly not sent. */
  readonly wasSent?: boolean
}

/** Connection refused, or host not resolved: nothing was sent. */
const notSentCodes: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'])

/** The only place where an error of the SDK or the server becomes a `CacheError`. */
export function translate(
  error: unknown,
  target: Target,
  operation: string,
  key?: string,
): CacheError {
  if (CacheError.is(error)) return error
  const cause = withoutResponse(error as Error)
  const { code, retryable, remedy } = translationOf(cause, target)
  const host = target.host ?? endpointHost(target)
  const place = host === undefined ? '' : ` (${host})`
  const message = `dynamodb ${operation} failed: ${reasonOf(cause)}${place}.${remedy && ` ${remedy}`}`
  return new CacheError(code, message, { store: 'dynamodb', operation, key, retryable, cause })
}

/** The endpoint did not reply to earlier requests, so this one was not sent. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError'

  constructor(cause: Error) {
    super(`the endpoint is unreachable (${cause.message || cause.name})`, { cause })
  }
}

/** Removes the response that the SDK attaches, because it includes the request: its signature and the stored values. */
export function withoutResponse(error: Error & { $metadata?: unknown }): Error {
  if (!('$response' in error)) return error
  const { name, message, stack, $metadata } = error
  return Object.assign(new Error(message), { name, stack, $metadata })
}

/** Whether the condition of a write failed. */
export function isConditionFailure(error: unknown): boolean {
  return (error as Error).name === 'ConditionalCheckFailedException'
}

/** Whether the table does not exist. */
export function isMissingTable(error: unknown): boolean {
  return (error as Error | undefined)?.name === 'ResourceNotFoundException'
}

/** Whether the server rejected the request for lack of capacity. It was not carried out. */
export function isThrottling(error: unknown): boolean {
  return translations.get((error as Error).name) === throttled
}

/** Whether the server may have carried out the request: it reported an internal error, or its reply was lost. */
export function isOutcomeUnknown(error: unknown): boolean {
  const { code, wasSent } = error as Failure
  if (wasSent === false || notSentCodes.has(code ?? '')) return false
  return isTimeout(error as Failure) || isUnavailable(error as Failure)
}

/** Whether the same request may soon succeed. */
export function isTransient(error: unknown): boolean {
  if (error instanceof UnreachableError) return false
  return isThrottling(error) || isTimeout(error as Failure) || isUnavailable(error as Failure)
}

/** Whether the request failed without a reply: it timed out, or there was no connection, or it was lost. */
export function isUnanswered(error: unknown): boolean {
  const { name, $metadata } = error as Failure
  if (isTimeout(error as Failure)) return true
  const hasReply = $metadata?.httpStatusCode !== undefined || translations.has(name)
  return !hasReply && isUnavailable(error as Failure)
}

/** The error to report after several attempts. Nothing more specific is known of an attempt that got no reply. */
export function moreSpecific(earlier: unknown, later: unknown): unknown {
  if (later instanceof UnreachableError) return earlier
  return isUnanswered(later) && !isUnanswered(earlier) ? earlier : later
}

/** Whether the request timed out here or in the SDK, which also names a lost connection `TimeoutError`. */
function isTimeout(error: Failure): boolean {
  const { name, code } = error
  if (error instanceof DeadlineError || name === 'AbortError') return true
  return name === 'TimeoutError' && code !== 'ECONNRESET' && code !== 'EPIPE'
}

function isUnavailable(error: Failure): boolean {
  return !CacheError.is(error) && translationByName(error) === unavailable
}

function translationOf(error: Error, target: Target): Translation {
  const { name, message } = error
  if (isTimeout(error)) return timedOut(target)
  if (isMissingTable(error)) return missingTable(target)
  if (name === 'AccessDeniedException') return accessDenied(message)
  if (name === 'ValidationException') return invalidRequest(message, target)
  const translation = translationByName(error)
  return translation === unavailable ? unreachable(error, target) : translation
}

function translationByName(error: Failure): Translation {
  const { name, message, $metadata } = error
  if (message === 'Region is missing') return missingRegion
  if (name === 'InvalidSignatureException')
    return /expired|current/.test(message) ? clockSkew : invalidCredentials
  const known = translations.get(name)
  if (known !== undefined) return known
  // Without a status there was no reply.
  const status = $metadata?.httpStatusCode ?? 500
  return status >= 500 ? unavailable : rejected
}

/** With several addresses of a host, Node reports the reason only on the inner errors (AggregateError). */
function reasonOf(error: Error): string {
  const [first] = error instanceof AggregateError ? error.errors : []
  const reason = error.message || (first as Error | undefined)?.message || error.name
  return reason.replace(/\.$/, '')
}

function timedOut(target: Target): Translation {
  const remedy = `Check that ${hostOf(target)} is reachable and that the credentials load in time, or raise timeout and requestTimeout.`
  return { code: 'ERR_CACHE_TIMEOUT', remedy }
}

/** The host of the option `endpoint`, without the credentials a URL may contain. */
function endpointHost({ endpoint }: Target): string | undefined {
  return endpoint === undefined ? undefined : new URL(endpoint).host
}

function hostOf(target: Target): string {
  const host = target.host ?? endpointHost(target)
  return host ?? `DynamoDB in ${target.region ?? 'the default region'}`
}

function missingTable(target: Target): Translation {
  const { table, region, endpoint } = target
  const place = [region, endpoint && endpointHost(target)].filter(Boolean).join(', ')
  return {
    code: 'ERR_CACHE_CONFIG',
    remedy: `The table "${table}" does not exist (${place || 'in the default region'}). Check the name and AWS_REGION, or create it with ensureTable().`,
  }
}

function accessDenied(message: string): Translation {
  const action = /dynamodb:\w+/.exec(message)?.[0] ?? 'the action'
  return {
    code: 'ERR_CACHE_REJECTED',
    remedy: `Allow ${action} in the IAM policy of these credentials.`,
  }
}

function invalidRequest(message: string, { table }: Target): Translation {
  if (!keyMismatch.test(message)) return rejected
  return {
    code: 'ERR_CACHE_CONFIG',
    remedy:
      `The table "${table}" has a different key. It must have a partition key of type string, named as in attributes.key, ` +
      'and no sort key.',
  }
}

function unreachable(error: Error, target: Target): Translation {
  const { code } = (error instanceof UnreachableError ? error.cause : error) as Failure
  if (isTimeout(error) || (error instanceof UnreachableError && isTimeout(error.cause as Failure)))
    return { ...unavailable, remedy: `Check that ${hostOf(target)} is reachable.` }
  if (!notSentCodes.has(code ?? '')) return unavailable
  const { region, endpoint } = target
  const remedy =
    endpoint === undefined
      ? `Check the network, and that the region "${region}" (AWS_REGION) exists.`
      : `Cannot connect to ${hostOf(target)}: check the endpoint (DYNAMODB_ENDPOINT), and that the server is running.`
  return { ...unavailable, remedy }
}
