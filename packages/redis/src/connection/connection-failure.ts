import type { Redis } from 'ioredis'
import { fromServer } from '../redis-errors.ts'

/** A Sentinel did not return the primary. */
class SentinelError extends Error {
  override readonly name = 'SentinelError'
  /** Whether the Sentinel is reachable, but does not monitor a primary of this name. */
  readonly isUnknownName: boolean

  constructor(message: string, isUnknownName: boolean) {
    super(message)
    this.isUnknownName = isUnknownName
  }
}

/** The reason for which a Sentinel did not return the primary. `before` is that of the previous Sentinel. */
export function sentinelFailure({ message }: Error, primary: string, before: unknown): unknown {
  if (before instanceof SentinelError && before.isUnknownName) return before
  // These are messages of ioredis.
  const [, sentinel = '', reason = 'invalid reply: null'] =
    /sentinel (\S+) (?:because (.*)|successfully)/s.exec(message) ?? []
  const isUnknownName = /invalid reply: null|No such master/.test(reason)
  const problem = isUnknownName
    ? `monitors no primary named ${primary}. Set sentinelName, or REDIS_SENTINEL_NAME.`
    : reason.replace(/^Connection is closed\.$/, 'is unreachable')
  const text = isUnknownName || problem === 'is unreachable' ? problem : `failed: ${problem}`
  return fromServer(new SentinelError(`the Sentinel ${sentinel} ${text}`, isUnknownName), sentinel)
}

/** Whether ioredis has queried all Sentinels without success. */
export function isSentinelSummary({ message }: Error): boolean {
  return message.startsWith('All sentinels are unreachable')
}

/** The reason for which a connection was closed before it was ready. The server closes it before it reads anything. */
export function refusalOf(error: unknown): unknown {
  const { code } = (error ?? {}) as NodeJS.ErrnoException
  if (error !== undefined && code !== 'EPIPE' && code !== 'ECONNRESET') return error
  const message =
    'the server closed the new connection, as it does when it has reached maxclients, expects TLS (rediss://) or is not Redis'
  return new Error(message, { cause: error })
}

/** The LOADING error if a server does not become ready because it is loading its data. INFO is accepted meanwhile. */
export async function loadingError(client: Redis): Promise<Error | undefined> {
  const info = String(await client.info('persistence').catch(() => ''))
  if (!/^loading:1/m.test(info) || client.status === 'ready') return undefined
  const error = new Error('LOADING Redis is loading the dataset in memory')
  error.name = 'ReplyError'
  return error
}
