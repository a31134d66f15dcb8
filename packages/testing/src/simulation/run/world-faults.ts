import type { Backend } from '../backend/backend.ts'
import type { FaultKind } from '../programs/scenario.ts'
import type { SimulatedProcess } from '../world/simulated-process.ts'
import type { World } from '../world/world.ts'
import type { PlannedFault } from './plan.ts'

interface Targets {
  readonly world: World
  readonly backend: Backend
  readonly processes: readonly SimulatedProcess[]
  readonly isRelated: (key: string) => boolean
}

/**
 * How long a node is down before a replica takes its place, or before it has read its snapshot; longer than two readings of
 * its clock differ. In milliseconds.
 */
const failoverMs = 100

/** Begins a fault. Returns what ends it. */
type Begin = (targets: Targets, fault: PlannedFault) => (() => void) | undefined

/** Lets the faults of a plan begin and end. */
export function scheduleFaults(targets: Targets, faults: readonly PlannedFault[]): void {
  const { world } = targets
  for (const fault of faults) {
    world.schedule(fault.at, () => {
      const end = begins[fault.kind](targets, fault)
      if (end !== undefined) world.schedule(fault.forMs, end)
    })
  }
}

const begins: Record<FaultKind, Begin> = {
  partition(targets, { target }) {
    const process = pick(targets.processes, target)
    if (process === undefined) return
    const { world } = targets
    world.log(process.name, 'is separated from the backend')
    process.isPartitioned = true
    return () => {
      world.log(process.name, 'is connected again')
      process.isPartitioned = false
    }
  },
  'partition-bus'({ world, processes }, { target }) {
    const process = pick(processes, target)
    if (process === undefined) return
    world.log(process.name, 'is separated from the bus')
    process.isBusPartitioned = true
    return () => {
      world.log(process.name, 'is connected to the bus again')
      process.isBusPartitioned = false
    }
  },
  'partition-copy'({ world, backend }, { target }) {
    const copy = pick(pick(backend.nodes, target)?.copies ?? [], target)
    if (copy === undefined) return
    world.log('copy', 'receives no writes')
    copy.isPartitioned = true
    return () => copy.reconnect()
  },
  restart: (targets, { target }) => stopNode(targets, target, false),
  'restart-empty': (targets, { target }) => stopNode(targets, target, true),
  evict({ backend }, { target }) {
    backend.evict(target)
    return undefined
  },
  'evict-related'({ backend, isRelated }) {
    backend.evictAll(isRelated)
    return undefined
  },
  'node-added'({ world, backend }) {
    const node = backend.addNode()
    world.log(node.name, 'is added')
    return () => {
      world.log(node.name, 'is removed')
      backend.removeNode(node)
    }
  },
  'node-removed'({ world, backend }, { target }) {
    const node = pick(backend.nodes, target)
    if (node === undefined || backend.nodes.length < 2) return
    world.log(node.name, 'is removed')
    backend.removeNode(node)
    return () => {
      world.log(node.name, 'is added with its old items')
      backend.addNode(node)
    }
  },
  'node-replaced'({ world, backend }, { target }) {
    const node = pick(backend.nodes, target)
    if (node === undefined) return
    const items = node.snapshot()
    const { now } = world
    return () => {
      world.log(node.name, `goes back to its items of ${now} ms`)
      backend.restore(node, items)
    }
  },
  'lost-writes'({ world, backend }, { target }) {
    const node = pick(backend.nodes, target)
    if (node === undefined) return
    const items = node.snapshot()
    const { now } = world
    return () => {
      world.log(node.name, 'is down')
      node.isDown = true
      world.schedule(failoverMs, () => {
        world.log(node.name, `is up with its items of ${now} ms`)
        node.isDown = false
        backend.restore(node, items)
      })
    }
  },
  pause({ world, processes }, { target }) {
    const process = pick(processes, target)
    if (process === undefined || process.isKilled) return
    world.log(process.name, 'is paused')
    process.pause()
    return () => {
      world.log(process.name, 'goes on')
      process.resume()
    }
  },
  kill({ world, processes }, { target }) {
    const process = pick(processes, target)
    if (process === undefined) return
    world.log(process.name, 'is killed')
    process.kill()
    return undefined
  },
  'clock-step'({ world, processes }, { target, forMs }) {
    const process = pick(processes, target)
    const ms = (target % 2 === 0 ? 1 : -1) * forMs * 10
    world.log(process?.name ?? '', `sets its clock by ${ms} ms`)
    process?.stepClock(ms)
    return undefined
  },
}

function stopNode({ world, backend }: Targets, target: number, isEmptied: boolean) {
  const node = pick(backend.nodes, target)
  if (node === undefined) return
  world.log(node.name, 'is down')
  node.isDown = true
  if (isEmptied) backend.restore(node, new Map())
  return () => {
    world.log(node.name, isEmptied ? 'is up without its items' : 'is up')
    node.isDown = false
  }
}

function pick<T>(list: readonly T[], target: number): T | undefined {
  return list[target % Math.max(1, list.length)]
}
