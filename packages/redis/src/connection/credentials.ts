import { withDeadline } from '@stowage/core/driver'
import type { Cluster, Redis } from 'ioredis'
import { reconnectDelay } from '../reconnect-delay.ts'
import type { Credentials, CredentialsProvider, ResolvedOptions } from '../redis-options.ts'

/** AWS IAM tokens are valid for 15 minutes. */
const refreshMs = 10 * 60_000

export interface CredentialsTarget {
  /** Stores the credentials where the client reads them when it connects. */
  readonly apply: (credentials: Credentials) => void
  /** The open connections, to authenticate again with new credentials. */
  readonly connectedNodes: () => readonly Redis[]
  /** Called after each failure. The provider is called again later. */
  readonly onError: (error: Error) => void
}

/**
 * Makes a client request its credentials before each connection attempt. Open connections are authenticated again every
 * ten minutes, because the server may close them when a token expires. Returns a function that stops it.
 */
export function useCredentials(
  client: Redis | Cluster,
  { credentials: provider, connectTimeoutMs }: ResolvedOptions,
  target: CredentialsTarget,
): () => void {
  if (provider === undefined) return () => {}
  const connect = client.connect.bind(client) as () => Promise<void>
  const refresh = () => refreshCredentials(provider, connectTimeoutMs, target)
  let attempt: Promise<void> | undefined
  let stopped = false
  const connectWithCredentials = async () => {
    for (let failures = 1; !stopped && !(await refresh()); failures++) {
      await new Promise((resolve) => setTimeout(resolve, reconnectDelay(failures)).unref())
    }
    if (!stopped) await connect()
  }
  client.connect = () => {
    attempt ??= connectWithCredentials().finally(() => {
      attempt = undefined
    })
    return attempt
  }
  const timer = setInterval(() => void refresh(), refreshMs).unref()
  return () => {
    stopped = true
    clearInterval(timer)
  }
}

/** Requests the credentials and applies them. Resolves to whether that succeeded. */
async function refreshCredentials(
  provider: CredentialsProvider,
  timeoutMs: number,
  target: CredentialsTarget,
): Promise<boolean> {
  try {
    const credentials = checkCredentials(await withDeadline(timeoutMs, async () => provider()))
    target.apply(credentials)
    await Promise.all(target.connectedNodes().map((node) => authenticate(node, credentials)))
    return true
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : `it threw ${String(cause)}`
    target.onError(new Error(`credentials() failed: ${reason}`, { cause }))
    return false
  }
}

/** Returns the user and password alone: a secret of AWS Secrets Manager also has the host and port of another server. */
function checkCredentials(credentials: Credentials | undefined): Credentials {
  const { username, password } = credentials ?? {}
  if (typeof password !== 'string') throw new TypeError('it returned no password')
  return username === undefined ? { password } : { username, password }
}

function authenticate(node: Redis, { username, password }: Credentials): Promise<unknown> {
  return username === undefined ? node.auth(password) : node.auth(username, password)
}
