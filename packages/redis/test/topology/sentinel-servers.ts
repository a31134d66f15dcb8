import {
  type Replicated,
  type Sentinels,
  startReplicated,
  startSentinels,
} from '@stowage/test-servers'

/** What `cleanUp` calls, in the opposite order. */
export const cleanups: (() => Promise<unknown>)[] = []

/** Starts a primary with replicas, and Sentinels that monitor it. */
export async function start(): Promise<{ servers: Replicated; sentinels: Sentinels }> {
  const servers = await startReplicated()
  cleanups.push(servers.stop)
  const sentinels = await startSentinels({ replicated: servers })
  cleanups.push(sentinels.stop)
  return { servers, sentinels }
}

export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
}

export const addressesOf = ({ addresses }: Sentinels): string[] =>
  addresses.map(({ host, port }) => `${host}:${port}`)
