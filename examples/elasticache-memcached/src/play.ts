import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'

interface Scene {
  readonly title: string
  readonly act?: (cluster: Cluster) => Promise<void>
  /** What the application is to see of it, without a restart. */
  readonly seen: string
}

const scenes: readonly Scene[] = [
  {
    title: 'Three nodes.',
    seen: 'node-1 up, node-2 up, node-3 up',
  },
  {
    title: 'node-4 is added.',
    act: (cluster) => cluster.add('node-4'),
    seen: 'node-1 up, node-2 up, node-3 up, node-4 up',
  },
  {
    title: 'node-2 dies, and nobody has told the cluster yet.',
    act: (cluster) => cluster.kill('node-2'),
    seen: 'node-1 up, node-2 down, node-3 up, node-4 up',
  },
  {
    title: 'node-2 is replaced: same name, another address.',
    act: (cluster) => cluster.replace('node-2'),
    seen: 'node-1 up, node-2 up, node-3 up, node-4 up',
  },
  {
    title: 'node-4 is taken out.',
    act: (cluster) => cluster.remove('node-4'),
    seen: 'node-1 up, node-2 up, node-3 up',
  },
]

const patienceMs = 30_000

/** One scene after the other, each for `paceMs` once the application has seen it. */
export async function play(cluster: Cluster, paceMs: number, look: () => string): Promise<void> {
  for (const { title, act, seen } of scenes) {
    console.log(title)
    await act?.(cluster)
    const deadline = Date.now() + patienceMs
    while (look() !== seen) {
      if (Date.now() > deadline) throw new Error(`Still ${look()}, not ${seen}.`)
      await sleep(50)
    }
    await sleep(paceMs)
  }
}
