import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'

interface Step {
  readonly title: string
  readonly change?: (cluster: Cluster) => Promise<void>
  /** The states of the nodes that the application must observe, without a restart. */
  readonly expected: string
}

const steps: readonly Step[] = [
  {
    title: 'The cluster has three nodes.',
    expected: 'node-1 up, node-2 up, node-3 up',
  },
  {
    title: 'node-4 is added.',
    change: (cluster) => cluster.add('node-4'),
    expected: 'node-1 up, node-2 up, node-3 up, node-4 up',
  },
  {
    title: 'node-2 fails. The configuration still lists it.',
    change: (cluster) => cluster.kill('node-2'),
    expected: 'node-1 up, node-2 down, node-3 up, node-4 up',
  },
  {
    title: 'node-2 is replaced: same name, new address.',
    change: (cluster) => cluster.replace('node-2'),
    expected: 'node-1 up, node-2 up, node-3 up, node-4 up',
  },
  {
    title: 'node-4 is removed.',
    change: (cluster) => cluster.remove('node-4'),
    expected: 'node-1 up, node-2 up, node-3 up',
  },
]

const stepTimeoutMs = 30_000

/** Runs the steps one after the other, and continues each for `paceMs` after the application observed it. */
export async function runScenario(
  cluster: Cluster,
  paceMs: number,
  observedStates: () => string,
): Promise<void> {
  for (const { title, change, expected } of steps) {
    console.log(title)
    await change?.(cluster)
    await waitFor(expected, observedStates)
    await sleep(paceMs)
  }
}

async function waitFor(expected: string, observedStates: () => string): Promise<void> {
  const deadline = Date.now() + stepTimeoutMs
  while (observedStates() !== expected) {
    if (Date.now() > deadline) {
      throw new Error(`Expected the nodes "${expected}", but observed "${observedStates()}".`)
    }
    await sleep(50)
  }
}
