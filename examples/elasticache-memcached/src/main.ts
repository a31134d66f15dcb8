import { Cache, ConfigError } from '@stowage/core'
import { Env } from '@stowage/core/driver'
import { exitWithError } from '@stowage/example-shared'
import driver, {
  type MemcachedByteStore,
  type MemcachedOptions,
  memcached,
} from '@stowage/memcached'
import { Cluster } from './cluster.ts'
import { LoadGenerator } from './load-generator.ts'
import { formatCounts, formatStates, logTopologyChanges } from './report.ts'
import { runScenario } from './scenario.ts'

const env = new Env(process.env)
const paceMs = env.duration('PACE') ?? 4_000

/** Uses the cluster that the environment names, or starts a local one and runs the scenario on it. */
async function main(): Promise<void> {
  const options = driver.fromEnv(env)
  if (env.problems.length > 0) throw new ConfigError(env.problems)
  logTopologyChanges()
  if (options.configurationEndpoint !== undefined) return runLoad(options, waitForSignal)
  // The servers are killed on the 'exit' event. process.exit() emits it; the default action of a signal does not.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const cluster = await Cluster.start(['node-1', 'node-2', 'node-3'])
  try {
    await runLoad({ configurationEndpoint: cluster.address }, (store) =>
      runScenario(cluster, paceMs, () => formatStates(store.nodes())),
    )
  } finally {
    await cluster.stop()
  }
}

/** Generates load and prints its counts until `during` resolves. */
async function runLoad(
  options: MemcachedOptions,
  during: (store: MemcachedByteStore) => Promise<void>,
): Promise<void> {
  // In production, the default of 1 minute is enough: after a node failure the store polls every second anyway.
  const store = memcached({ ...options, pollInterval: '1s' })
  const cache = new Cache(store, { prefix: 'stowage-example:', ttl: '10m' })
  const load = new LoadGenerator(cache)
  try {
    await load.start()
    const print = () => console.log(formatCounts(store.nodes(), load.takeCounts()))
    const timer = setInterval(print, paceMs / 4)
    await during(store).finally(() => clearInterval(timer))
  } finally {
    await load.stop()
    await cache.close()
  }
}

function waitForSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  })
}

main().catch(exitWithError)
