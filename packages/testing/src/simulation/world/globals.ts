import { SimulatedTimer } from './simulated-timer.ts'
import type { World } from './world.ts'

/** A property that is replaced while a run lasts. */
interface Replacement {
  readonly target: object
  readonly name: string
  readonly value: unknown
}

const { now: systemNow } = Date
const { nextTick } = process

/** The world of the run that lasts. */
let world: World | undefined

/**
 * Replaces what code may use besides its `Clock` while `work` runs: random numbers, the time, timers, weak references,
 * and `Map`, to see which entries are left at the end. No other code of this Node process runs meanwhile, because a run never returns to
 * the event loop.
 */
export async function withSimulatedGlobals<T>(current: World, work: () => Promise<T>): Promise<T> {
  world = current
  const restore = replacements.map(replace)
  // Later maps may be garbage already at the end, which cannot be seen.
  current.onStarted = replace(observedMap)
  restore.push(current.onStarted)
  const { stackTraceLimit } = Error
  // A call that fails as planned needs no stack, and to capture one takes longer than the call.
  if (current.trace === undefined) Error.stackTraceLimit = 0
  try {
    return await work()
  } finally {
    for (const undo of restore) undo()
    Error.stackTraceLimit = stackTraceLimit
    world = undefined
  }
}

function fill<T extends ArrayBufferView>(array: T): T {
  return world?.current?.random.fill(array) ?? array
}

const uuidGroups = /^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/
const uuidForm = '$1-$2-4$3-8$4-$5'

const randomness: readonly Replacement[] = [
  { target: Math, name: 'random', value: () => world?.current?.random.next() ?? 0.5 },
  { target: crypto, name: 'getRandomValues', value: fill },
  {
    target: crypto,
    name: 'randomUUID',
    value: () =>
      Buffer.from(fill(new Uint8Array(16)))
        .toString('hex')
        .replace(uuidGroups, uuidForm),
  },
]

const time: readonly Replacement[] = [
  {
    target: performance,
    name: 'now',
    value: () => world?.current?.monotonic() ?? world?.now,
  },
  { target: Date, name: 'now', value: () => world?.current?.clock.now() ?? systemNow() },
]

function start(isRepeated: boolean) {
  return (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
    new SimulatedTimer(world?.current, () => run(...args), ms, isRepeated)
}

function stop(timer: unknown): void {
  if (timer instanceof SimulatedTimer) timer.cancel()
}

function immediate(run: (...args: unknown[]) => void, ...args: unknown[]): SimulatedTimer {
  return new SimulatedTimer(world?.current, () => run(...args), 0, false)
}

const timers: readonly Replacement[] = [
  { target: globalThis, name: 'setTimeout', value: start(false) },
  { target: globalThis, name: 'setInterval', value: start(true) },
  { target: globalThis, name: 'setImmediate', value: immediate },
  { target: globalThis, name: 'clearTimeout', value: stop },
  { target: globalThis, name: 'clearInterval', value: stop },
  { target: globalThis, name: 'clearImmediate', value: stop },
]

function observedTick(...args: Parameters<typeof nextTick>): void {
  if (world !== undefined) {
    world.hasTicks = true
    world.countStep()
  }
  nextTick(...args)
}

class ObservedMap<K, V> extends Map<K, V> {
  constructor(entries?: Iterable<readonly [K, V]> | null) {
    super(entries)
    world?.current?.maps.push(this)
  }
}

/** Never cleared, because the moment of a garbage collection is not the same in every run. */
class StrongRef<T extends WeakKey> {
  readonly #target: T

  constructor(target: T) {
    this.#target = target
  }

  deref(): T {
    return this.#target
  }
}

class IdleRegistry {
  register(): void {}

  unregister(): boolean {
    return false
  }
}

const references: readonly Replacement[] = [
  { target: globalThis, name: 'WeakRef', value: StrongRef },
  { target: globalThis, name: 'FinalizationRegistry', value: IdleRegistry },
]

/** The same in every run: with new functions and classes in each, the code that uses them could not be optimized. */
const replacements: readonly Replacement[] = [
  ...randomness,
  ...time,
  ...timers,
  ...references,
  { target: process, name: 'nextTick', value: observedTick },
]

const observedMap: Replacement = { target: globalThis, name: 'Map', value: ObservedMap }

/** Returns a function that restores the property. */
function replace({ target, name, value }: Replacement): () => void {
  const original = Object.getOwnPropertyDescriptor(target, name)
  Object.defineProperty(target, name, { value, configurable: true, writable: true })
  return () => {
    if (original === undefined) Reflect.deleteProperty(target, name)
    else Object.defineProperty(target, name, original)
  }
}
