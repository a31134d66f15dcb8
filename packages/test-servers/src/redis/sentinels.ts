import { everyAsync, waitUntil } from '../process/wait-until.ts'
import { addressOf, command, commandOrThrow, host, type RedisAddress } from './redis-client.ts'
import type { RedisServer } from './redis-server.ts'
import type { Replicated } from './replicated.ts'
import type { RedisReply } from './resp.ts'
import { startServerGroup } from './server-group.ts'

export interface Sentinels {
  readonly servers: RedisServer[]
  readonly ports: number[]
  readonly addresses: RedisAddress[]
  /** Name under which the Sentinels monitor the primary. */
  readonly name: string
  /** Resolves to the address of the primary once all reachable Sentinels agree on it. */
  readonly currentPrimary: () => Promise<RedisAddress>
  /** Promotes a replica without an outage. Resolves to its address once all reachable Sentinels agree on it. */
  readonly failover: () => Promise<RedisAddress>
  /** Stops the Sentinels, but not the servers they monitor. Idempotent. */
  readonly stop: () => Promise<void>
}

export interface SentinelOptions {
  readonly replicated: Replicated
  /** @default 3 */
  readonly sentinels?: number
  /** @default 2 */
  readonly quorum?: number
  /**
   * `down-after-milliseconds`. A Sentinel sends a PING each second at most: with less than two seconds, it replaces a new
   * primary that has not replied at once. @default 3_000
   */
  readonly downAfterMs?: number
  /** `failover-timeout`. @default 3_000 */
  readonly failoverTimeoutMs?: number
  /** @default 'mymaster' */
  readonly name?: string
}

/** Starts Sentinels that monitor a primary. Resolves when they have found its replicas and each other. */
export function startSentinels(options: SentinelOptions): Promise<Sentinels> {
  const { replicated, sentinels: count = 3, name = 'mymaster' } = options
  const conf = configurationFor(name, options)
  return startServerGroup(async (group) => {
    const start = () => group.start({ conf, args: ['--sentinel'] })
    const servers = await Promise.all(Array.from({ length: count }, start))
    const expected = { replicas: replicated.replicas.length, otherSentinels: count - 1 }
    await waitUntil('the Sentinels have found the replicas and each other', () =>
      everyAsync(servers, ({ port }) => hasDiscovered(port, name, expected)),
    )
    const ports = servers.map(({ port }) => port)
    return {
      servers,
      ports,
      addresses: ports.map(addressOf),
      name,
      currentPrimary: () => currentPrimary(ports, name),
      failover: () => failover(ports, name),
      stop: group.stop,
    }
  })
}

function configurationFor(name: string, options: SentinelOptions): string {
  const { replicated, quorum = 2, downAfterMs = 3_000, failoverTimeoutMs = 3_000 } = options
  return `sentinel monitor ${name} ${host} ${replicated.primary.port} ${quorum}
sentinel down-after-milliseconds ${name} ${downAfterMs}
sentinel failover-timeout ${name} ${failoverTimeoutMs}
`
}

async function hasDiscovered(
  port: number,
  name: string,
  expected: { readonly replicas: number; readonly otherSentinels: number },
): Promise<boolean> {
  const primary = toFields(await sentinelCommand(port, 'MASTER', name))
  const replicas = ((await sentinelCommand(port, 'REPLICAS', name)) as RedisReply[]).map(toFields)
  // A Sentinel lists replicas before it has their INFO, and promotes none of them until then.
  const promotable = replicas.filter((replica) => replica['master-link-status'] === 'ok')
  return (
    primary.flags === 'master' &&
    Number(primary['num-slaves']) === expected.replicas &&
    Number(primary['num-other-sentinels']) === expected.otherSentinels &&
    promotable.length === expected.replicas
  )
}

function currentPrimary(ports: readonly number[], name: string): Promise<RedisAddress> {
  return waitUntil('the Sentinels agree on the primary', () => agreedPrimary(ports, name))
}

async function failover(ports: readonly number[], name: string): Promise<RedisAddress> {
  const before = await currentPrimary(ports, name)
  let attempt = 0
  await waitUntil('a Sentinel starts a failover', () =>
    sentinelCommand(ports[attempt++ % ports.length] as number, 'FAILOVER', name),
  )
  return waitUntil('a replica is promoted', async () => {
    const now = await agreedPrimary(ports, name)
    return now && now.port !== before.port && (await isPrimary(now.port)) && now
  })
}

/** The primary that all reachable Sentinels report, or `undefined` while they differ. */
async function agreedPrimary(
  ports: readonly number[],
  name: string,
): Promise<RedisAddress | undefined> {
  const replies = await Promise.allSettled(
    ports.map((port) => sentinelCommand(port, 'GET-MASTER-ADDR-BY-NAME', name)),
  )
  const primaries = new Set(
    replies.flatMap((reply) =>
      reply.status === 'fulfilled' ? [Number((reply.value as RedisReply[])[1])] : [],
    ),
  )
  const [port] = primaries
  return primaries.size === 1 && port !== undefined ? addressOf(port) : undefined
}

async function isPrimary(port: number): Promise<boolean> {
  const role = await command(port, 'ROLE')
  return Array.isArray(role) && role[0] === 'master'
}

function sentinelCommand(port: number, ...args: readonly string[]): Promise<RedisReply> {
  return commandOrThrow(port, 'SENTINEL', ...args)
}

/** Converts a flat list of names and values. */
function toFields(reply: RedisReply): Record<string, string | undefined> {
  const list = reply as string[]
  return Object.fromEntries(
    list.flatMap((name, index) => (index % 2 === 0 ? [[name, list[index + 1]]] : [])),
  )
}
