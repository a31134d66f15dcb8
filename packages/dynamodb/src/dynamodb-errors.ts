import { CacheError, type CacheErrorCode } from '@stowage/core'
import { DeadlineError } from '@stowage/core/driver'

/** Where requests go, for messages. */
export interface Target {
  readonly table: string
  readonly region: string | undefined
  readonly endpoint: string | undefined
}

interface Meaning {
  readonly code: CacheErrorCode
  readonly retryable?: boolean
  readonly advice: string
}

const throttled: Meaning = {
  code: 'ERR_CACHE_REJECTED',
  retryable: true,
  advice:
    'The table, or one partition of it, is asked for more than its capacity: use on-demand billing, raise the ' +
    'provisioned units, or spread a hot key.',
}
const notOurs: Meaning = {
  code: 'ERR_CACHE_REJECTED',
  advice:
    'Check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, a profile or a role), and that ' +
    'they belong to the region.',
}
const skewed: Meaning = {
  code: 'ERR_CACHE_REJECTED',
  advice: 'Set the clock of this machine; a signature is valid for some minutes.',
}
const noCredentials: Meaning = {
  code: 'ERR_CACHE_CONFIG',
  advice:
    'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role. DynamoDB Local takes any of letters and digits.',
}
const noRegion: Meaning = {
  code: 'ERR_CACHE_CONFIG',
  advice: 'Set AWS_REGION, such as eu-central-1.',
}
const unavailable: Meaning = { code: 'ERR_CACHE_UNAVAILABLE', advice: '' }
const refused: Meaning = { code: 'ERR_CACHE_REJECTED', advice: '' }

/** What the name of an exception means. Any other of the server's is a plain refusal. */
const exceptions: Readonly<Record<string, Meaning>> = {
  ProvisionedThroughputExceededException: throttled,
  ThrottlingException: throttled,
  RequestLimitExceeded: throttled,
  InternalServerError: unavailable,
  ServiceUnavailable: unavailable,
  CredentialsProviderError: noCredentials,
  MissingAuthenticationTokenException: noCredentials,
  UnrecognizedClientException: notOurs,
  ExpiredTokenException: notOurs,
  IncompleteSignatureException: notOurs,
}

const wrongKey =
  /key element does not match|Missing the key|required keys was not given|Type mismatch for key/

/** The one place where a failure of the SDK or the server becomes a `CacheError`. */
export function translate(
  error: unknown,
  target: Target,
  operation: string,
  key?: string,
): CacheError {
  if (CacheError.is(error)) return error
  const cause = withoutResponse(error as Error)
  const { code, retryable, advice } = meaningOf(cause, target)
  const message = `dynamodb ${operation} failed: ${messageOf(cause)}${advice && `. ${advice}`}`
  return new CacheError(code, message, { store: 'dynamodb', operation, key, retryable, cause })
}

/** The SDK attaches the response, and with it the request: its signature, and whatever was to be stored. */
export function withoutResponse(error: Error & { $metadata?: unknown }): Error {
  if (!('$response' in error)) return error
  const { name, message, stack, $metadata } = error
  return Object.assign(new Error(message), { name, stack, $metadata })
}

/** Whether the condition of a write did not hold. */
export function isRefusal(error: unknown): boolean {
  return (error as Error).name === 'ConditionalCheckFailedException'
}

/** Whether the server does less than it is asked for. It has not done what it says this of. */
export function isThrottling(error: unknown): boolean {
  return exceptions[(error as Error).name] === throttled
}

/** Whether the server may have carried a request out without our knowing: it failed, or its answer did not arrive. */
export function isUncertain(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  if (isTimeout(error as Error)) return true
  return isUnavailable(error as Error) && !neverSent.has(code ?? '')
}

/** Whether the same request may succeed in a moment. */
export function isTransient(error: unknown): boolean {
  return isThrottling(error) || isUncertain(error) || isUnavailable(error as Error)
}

/** Nobody listens, or the host is not known: nothing was sent. */
const neverSent: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'])

/** Whether the time was over, by our count or the SDK's, which calls a connection that was lost by the same name. */
function isTimeout(error: NodeJS.ErrnoException): boolean {
  const { name, code } = error
  if (error instanceof DeadlineError || name === 'AbortError') return true
  return name === 'TimeoutError' && code !== 'ECONNRESET' && code !== 'EPIPE'
}

function isUnavailable(error: Error): boolean {
  return !CacheError.is(error) && meaningOfName(error) === unavailable
}

function meaningOf(error: Error, target: Target): Meaning {
  const { name, message } = error
  if (isTimeout(error)) return late(target)
  if (name === 'ResourceNotFoundException') return missingTable(target)
  if (name === 'AccessDeniedException') return denied(message)
  if (name === 'ValidationException') return invalid(message, target)
  const meaning = meaningOfName(error)
  return meaning === unavailable ? unreachable(error, target) : meaning
}

function meaningOfName(error: Error & { $metadata?: { httpStatusCode?: number } }): Meaning {
  const { name, message, $metadata } = error
  if (message === 'Region is missing') return noRegion
  if (name === 'InvalidSignatureException')
    return /expired|current/.test(message) ? skewed : notOurs
  const known = exceptions[name]
  if (known !== undefined) return known
  // Without a status nothing was answered at all.
  const status = $metadata?.httpStatusCode ?? 500
  return status >= 500 ? unavailable : refused
}

/** Of several addresses of a host that were tried in vain, Node says it in each of them only. */
function messageOf(error: Error): string {
  const [first] = error instanceof AggregateError ? error.errors : []
  return error.message || (first as Error | undefined)?.message || error.name
}

function late(target: Target): Meaning {
  const advice = `Does ${placeOf(target)} answer, and do the credentials arrive in time? Raise timeout and requestTimeout if they do.`
  return { code: 'ERR_CACHE_TIMEOUT', advice }
}

/** Where requests go; of a URL without what may be a password. */
function placeOf({ region, endpoint }: Target): string {
  if (endpoint !== undefined) return new URL(endpoint).host
  return `DynamoDB in ${region ?? 'the region of the SDK'}`
}

function missingTable({ table, region, endpoint }: Target): Meaning {
  const place = [region, endpoint && new URL(endpoint).host].filter(Boolean).join(', ')
  return {
    code: 'ERR_CACHE_CONFIG',
    advice: `There is no table "${table}" here (${place || 'the region of the SDK'}). Check the name and AWS_REGION, or create it: ensureTable() does.`,
  }
}

function denied(message: string): Meaning {
  const action = /dynamodb:\w+/.exec(message)?.[0]
  const what = action === undefined ? 'the action' : action
  return {
    code: 'ERR_CACHE_REJECTED',
    advice: `Allow ${what} in the IAM policy of these credentials.`,
  }
}

function invalid(message: string, { table }: Target): Meaning {
  if (!wrongKey.test(message)) return refused
  return {
    code: 'ERR_CACHE_CONFIG',
    advice:
      `The key of table "${table}" is another one. It must be a partition key alone, a string, with the name given in ` +
      'attributes.key.',
  }
}

function unreachable(error: Error, target: Target): Meaning {
  const { code } = error as NodeJS.ErrnoException
  if (!neverSent.has(code ?? '')) return unavailable
  const { region, endpoint } = target
  const advice =
    endpoint === undefined
      ? `Check the network, and AWS_REGION: is "${region}" a region?`
      : `Nothing answers at ${placeOf(target)}. Check the endpoint (DYNAMODB_ENDPOINT), and that it is running.`
  return { ...unavailable, advice }
}
