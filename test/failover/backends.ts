import { ensureTable } from '@stowage/dynamodb'
import { ensureTable as ensurePostgresTable } from '@stowage/postgres'
import {
  type FaultProxy,
  isFullTier,
  startDynamoDB,
  startMemcached,
  startPostgres,
  startProxy,
  startRedis,
} from '@stowage/test-servers'

/** The deadline of the drivers. */
export const deadlineMs = 750

/** In `npm test`, half as many as in the full tier: the processes take twelve seconds of processor time with all of them. */
const defaultPerSecond = isFullTier ? 2_000 : 1_000

/** How a process opens a store, as JSON. */
export interface StoreJob {
  readonly driver: string
  readonly options: object
}

/** A server behind a proxy, which separates it from the processes and keeps its items. */
export interface Backend {
  readonly proxy: FaultProxy
  readonly job: StoreJob
  readonly env: Readonly<Record<string, string>>
  /** Calls per second that all processes make together. */
  readonly perSecond: number
  /** When it was unreachable, by the clock of the machine. */
  readonly outages: (readonly [begin: number, end: number])[]
  stop(): Promise<void>
}

const timeouts = { timeout: deadlineMs, connectTimeout: deadlineMs }

export const backends = {
  redis: async (): Promise<Backend> => {
    const server = await startRedis()
    return behindProxy(server, (port) => ({
      driver: 'redis',
      options: { url: `redis://127.0.0.1:${port}`, ...timeouts },
    }))
  },
  memcached: async (): Promise<Backend> => {
    const server = await startMemcached()
    return behindProxy(server, (port) => ({
      driver: 'memcached',
      options: { servers: [`127.0.0.1:${port}`], ...timeouts },
    }))
  },
  postgres: async (): Promise<Backend> => {
    const server = await startPostgres()
    await ensurePostgresTable({ url: server.url })
    const jobFor = (port: number) => ({
      driver: 'postgres',
      options: { url: server.url.replace(`:${server.port}`, `:${port}`), timeout: deadlineMs },
    })
    return behindProxy(server, jobFor, { perSecond: 200 })
  },
  // DynamoDB Local executes one request after the other: with a core of its own, about 500 reads and writes per second. A
  // call consists of up to three of them, and all processes clear the table when their journals have overflown. A backend
  // that is too busy to reply within the deadline would not be used again.
  dynamodb: async (): Promise<Backend> => {
    const server = await startDynamoDB()
    const env = { ...server.env }
    Object.assign(process.env, env)
    const address = { table: 'cache', region: env.AWS_REGION }
    await ensureTable({ ...address, endpoint: server.url, timeout: '20s', requestTimeout: '20s' })
    const jobFor = (port: number) => ({
      driver: 'dynamodb',
      options: {
        ...address,
        endpoint: `http://127.0.0.1:${port}`,
        timeout: deadlineMs,
        requestTimeout: deadlineMs,
      },
    })
    return behindProxy(server, jobFor, { env, perSecond: 50 })
  },
}

async function behindProxy(
  server: { readonly port: number; stop(): Promise<unknown> },
  jobFor: (port: number) => StoreJob,
  { env = {}, perSecond = defaultPerSecond }: Partial<Pick<Backend, 'env' | 'perSecond'>> = {},
): Promise<Backend> {
  const proxy = await startProxy(server.port)
  const stop = async () => {
    await proxy.stop()
    await server.stop()
  }
  return { proxy, job: jobFor(Number(new URL(proxy.url).port)), env, perSecond, outages: [], stop }
}
