import { Cache, ConfigError, Env } from '@stowage/core'
import driver, {
  type MemcachedByteStore,
  type MemcachedOptions,
  memcached,
} from '@stowage/memcached'
import { Cluster } from './cluster.ts'
import { Load } from './load.ts'
import { play } from './play.ts'
import { line, reportChanges, states } from './report.ts'

type Story = (store: MemcachedByteStore) => Promise<void>

const env = new Env(process.env)
const paceMs = env.duration('PACE') ?? 4_000

/** Of a cluster that is there already, as the environment says; else of one on this machine. */
async function main(): Promise<void> {
  const options = driver.fromEnv(env)
  if (env.problems.length > 0) throw new ConfigError(env.problems)
  reportChanges()
  if (options.configurationEndpoint !== undefined) return use(options, untilInterrupted)
  // The servers end with this process, and a signal alone would not let it know.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const cluster = await Cluster.start(['node-1', 'node-2', 'node-3'])
  try {
    await use({ configurationEndpoint: cluster.address }, (store) =>
      play(cluster, paceMs, () => states(store.nodes())),
    )
  } finally {
    await cluster.stop()
  }
}

/** Looks things up while `story` lasts. */
async function use(options: MemcachedOptions, story: Story): Promise<void> {
  // In production once a minute is enough: after a node has failed it is looked at once a second in any case.
  const store = memcached({ ...options, pollInterval: '1s' })
  const cache = new Cache(store, { prefix: 'app:', ttl: '10m' })
  const load = new Load(cache)
  try {
    await load.start()
    const lines = setInterval(() => console.log(line(store.nodes(), load.take())), paceMs / 4)
    await story(store).finally(() => clearInterval(lines))
  } finally {
    await load.stop()
    await cache.close()
  }
}

function untilInterrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  })
}

main().catch((error: Error) => {
  // The message says what to do; a stack trace would only hide it.
  console.error(error.message)
  process.exitCode = 1
})
