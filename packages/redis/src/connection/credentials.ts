import { withDeadline } from '@stowage/core/driver'
import type { Cluster, Redis } from 'ioredis'
import { backOff } from '../reconnect-delay.ts'
import type { Credentials, CredentialsProvider } from '../redis-options.ts'

/** Tokens of AWS IAM are valid for 15 minutes. */
const refreshMs = 10 * 60_000

export interface CredentialsUse {
  readonly provide: CredentialsProvider
  /** How long an answer may take. */
  readonly timeoutMs: number
  /** Puts them where the client takes them from when it connects. */
  readonly apply: (credentials: Credentials) => void
  /** The connections that are up, to be told of them. */
  readonly nodes: () => readonly Redis[]
  /** Told of each failure; asked again all the same. */
  readonly failed: (error: Error) => void
}

/**
 * Has a client ask for its credentials before each attempt to connect, and tells the server of new ones while the
 * connection is up: one made with a token may be ended by the server when that has run out. Returns what ends it.
 */
export function useCredentials(client: Redis | Cluster, use: CredentialsUse): () => void {
  const connect = client.connect.bind(client) as () => Promise<void>
  let attempt: Promise<void> | undefined
  let over = false
  const connectWithCredentials = async () => {
    for (let times = 1; !over && !(await renew(use)); times++) {
      await new Promise((resolve) => setTimeout(resolve, backOff(times)).unref())
    }
    if (!over) await connect()
  }
  client.connect = () => {
    attempt ??= connectWithCredentials().finally(() => {
      attempt = undefined
    })
    return attempt
  }
  const timer = setInterval(() => void renew(use), refreshMs).unref()
  return () => {
    over = true
    clearInterval(timer)
  }
}

/** Asks for the credentials and has them used. Says whether there are any. */
async function renew(use: CredentialsUse): Promise<boolean> {
  try {
    const credentials = await withDeadline(use.timeoutMs, async () => use.provide())
    use.apply(credentials)
    await Promise.all(use.nodes().map((node) => authenticate(node, credentials)))
    return true
  } catch (cause) {
    use.failed(new Error(`credentials() failed: ${(cause as Error).message}`, { cause }))
    return false
  }
}

function authenticate(node: Redis, { username, password }: Credentials): Promise<unknown> {
  return username === undefined ? node.auth(password) : node.auth(username, password)
}
