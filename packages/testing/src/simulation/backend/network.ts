import { CacheError } from '@stowage/core'
import { hashOf, Random } from '../world/random.ts'
import type { SimulatedProcess } from '../world/simulated-process.ts'
import { textOfReply } from '../world/trace.ts'
import type { World } from '../world/world.ts'
import type { BackendNode } from './backend-node.ts'

/** How often the network fails, as probabilities per request. */
export interface NetworkFaults {
  /** The request is lost before it runs. */
  readonly lostRequests: number
  /** The request runs, and its reply is lost. */
  readonly lostReplies: number
  /** The request runs after its caller has given up. */
  readonly lateRequests: number
}

export const faultlessNetwork: NetworkFaults = { lostRequests: 0, lostReplies: 0, lateRequests: 0 }

/** After this time a caller gives up, in milliseconds. */
const timeoutMs = 100
/** Delays of most requests and of a few, in tenths of a millisecond. */
const usualDelay = 30
const longDelay = 300

export interface Request<T> {
  readonly process: SimulatedProcess
  readonly node: BackendNode | undefined
  readonly operation: string
  readonly keys: readonly string[]
  readonly execute: (node: BackendNode) => T
  /** Called before the caller receives a reply other than an error. */
  readonly onReply: () => void
  /** Called before the caller receives a reply or an error. */
  readonly onEnd: () => void
}

/** When a request was sent and executed, by the order of events. */
export interface SentRequest {
  readonly process: string
  readonly operation: string
  readonly keys: readonly string[]
  readonly sent: number
  readonly sentAt: number
  executed: number | undefined
  /** Virtual milliseconds. */
  executedAt: number
  /** Whether its caller received no reply. */
  hasFailed: boolean
}

/** When the last request of a connection arrives, and its last reply. */
interface Arrivals {
  request: number
  reply: number
}

interface Fate {
  readonly kind: 'delivered' | 'lost request' | 'lost reply' | 'late'
  readonly outMs: number
  readonly backMs: number
  /** Whether the caller notices the loss at once, as with a closed connection, instead of at its deadline. */
  readonly isNoticed: boolean
}

/** Carries requests to the backend and replies back. */
export class Network {
  faults: NetworkFaults = faultlessNetwork
  readonly requests: SentRequest[] = []
  readonly #world: World
  readonly #isOrdered: boolean
  readonly #lastArrivals = new Map<SimulatedProcess, Map<BackendNode, Arrivals>>()

  constructor(world: World, isOrdered: boolean) {
    this.#world = world
    this.#isOrdered = isOrdered
  }

  send<T>(request: Request<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const fate = this.#fate(request)
      const { process, operation, keys } = request
      const record = {
        process: process.name,
        operation,
        keys,
        sent: this.#world.nextOrder(),
        sentAt: this.#world.now,
        executed: undefined,
        executedAt: 0,
        hasFailed: false,
      }
      this.requests.push(record)
      this.#deliver(request, fate, record, resolve, reject)
    })
  }

  #deliver<T>(
    request: Request<T>,
    fate: Fate,
    record: SentRequest,
    resolve: (result: T) => void,
    reject: (error: unknown) => void,
  ): void {
    const world = this.#world
    const { process, node } = request
    const fail = (code: 'ERR_CACHE_TIMEOUT' | 'ERR_CACHE_UNAVAILABLE', ms: number) => {
      record.hasFailed = true
      const giveUp = () => {
        request.onEnd()
        reject(failure(code, request))
      }
      world.schedule(ms, giveUp, process)
    }
    const lose = (ms: number) =>
      fate.isNoticed ? fail('ERR_CACHE_UNAVAILABLE', ms) : fail('ERR_CACHE_TIMEOUT', timeoutMs)
    this.#log(request, fate)
    if (node === undefined || fate.kind === 'lost request' || process.isPartitioned) {
      lose(fate.outMs)
      return
    }
    if (fate.kind === 'late') fail('ERR_CACHE_TIMEOUT', timeoutMs)
    const line = this.#connection(process, node)
    const arrivesAt = Math.max(world.now + fate.outMs, this.#isOrdered ? line.request : 0)
    line.request = arrivesAt
    world.schedule(arrivesAt - world.now, () => {
      if (node.isDown) {
        if (fate.kind !== 'late') lose(fate.backMs)
        return
      }
      record.executed = world.nextOrder()
      record.executedAt = world.now
      const settle = settlement(logged(request, node, world), node, resolve, reject)
      if (fate.kind === 'late') return
      if (fate.kind === 'lost reply' || process.isPartitioned) {
        lose(fate.backMs)
        return
      }
      const repliesAt = Math.max(world.now + fate.backMs, this.#isOrdered ? line.reply : 0)
      line.reply = repliesAt
      world.schedule(repliesAt - world.now, settle, process)
    })
  }

  #fate({ process }: Request<unknown>): Fate {
    const { cause } = this.#world
    const luck = cause?.luck ?? 0
    if (luck === 0) return { kind: 'delivered', outMs: 1, backMs: 1, isNoticed: true }
    const random = new Random(
      hashOf(luck, cause === undefined ? 0 : cause.messages++, process.name),
    )
    const outMs = delay(random)
    const backMs = delay(random)
    const isNoticed = random.chance(0.5)
    const kind = kindOf(random.next(), this.faults)
    if (kind !== 'delivered' && cause !== undefined) cause.isDisturbed = true
    return { kind, outMs: kind === 'late' ? timeoutMs + outMs * 10 : outMs, backMs, isNoticed }
  }

  #connection(process: SimulatedProcess, node: BackendNode): Arrivals {
    const known = this.#lastArrivals.get(process)?.get(node)
    if (known !== undefined) return known
    const created = { request: 0, reply: 0 }
    const connections = this.#lastArrivals.get(process) ?? new Map()
    this.#lastArrivals.set(process, connections.set(node, created))
    return created
  }

  #log({ process, node, operation, keys }: Request<unknown>, { kind }: Fate): void {
    if (this.#world.trace === undefined) return
    const mark = kind === 'delivered' ? '' : ` (✗ ${kind})`
    this.#world.logRequest(process.name, `  → ${node?.name} ${operation}${mark}`, keys)
  }
}

/** The request, which also logs its result when it is executed. */
function logged<T>(request: Request<T>, { name }: BackendNode, world: World): Request<T> {
  if (world.trace === undefined) return request
  const { process, operation, keys } = request
  const execute = (node: BackendNode) => {
    const result = request.execute(node)
    const from = `${operation} ${keys.join(' ')}`.trimEnd()
    world.log(name, `  ${from}${textOfReply(operation, result)}, from ${process.name}`)
    return result
  }
  return { ...request, execute }
}

/** Executes the request now. Returns a function that settles it later. */
function settlement<T>(
  { execute, onReply, onEnd }: Request<T>,
  node: BackendNode,
  resolve: (result: T) => void,
  reject: (error: unknown) => void,
): () => void {
  try {
    const result = execute(node)
    return () => {
      onReply()
      onEnd()
      resolve(result)
    }
  } catch (error) {
    return () => {
      onEnd()
      reject(error)
    }
  }
}

function delay(random: Random): number {
  return random.integer(1, random.chance(0.15) ? longDelay : usualDelay) / 10
}

function kindOf(
  draw: number,
  { lostRequests, lostReplies, lateRequests }: NetworkFaults,
): Fate['kind'] {
  if (draw < lostRequests) return 'lost request'
  if (draw < lostRequests + lostReplies) return 'lost reply'
  return draw < lostRequests + lostReplies + lateRequests ? 'late' : 'delivered'
}

function failure(
  code: 'ERR_CACHE_TIMEOUT' | 'ERR_CACHE_UNAVAILABLE',
  { operation, keys }: Request<unknown>,
): CacheError {
  const reason =
    code === 'ERR_CACHE_TIMEOUT' ? `no reply within ${timeoutMs} ms` : 'the connection was lost'
  const message = `simulated ${operation} failed: ${reason}.`
  return new CacheError(code, message, { store: 'simulated', operation, key: keys[0] })
}
