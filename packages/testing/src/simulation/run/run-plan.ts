import { Cache, failover, memo } from '@stowage/core'
import { withKeyOrder } from '@stowage/core/driver'
import { allowShortTtls } from '@stowage/core/internal'
import { Backend } from '../backend/backend.ts'
import { faultlessNetwork, Network, type NetworkFaults } from '../backend/network.ts'
import { NetworkStore } from '../backend/network-store.ts'
import { ReplicationProgress } from '../backend/replication-progress.ts'
import { SimulatedBus } from '../backend/simulated-bus.ts'
import type { History, Loss, NodeChange } from '../programs/history.ts'
import type { Program, Scenario } from '../programs/scenario.ts'
import { withSimulatedGlobals } from '../world/globals.ts'
import { SimulatedProcess } from '../world/simulated-process.ts'
import { Trace } from '../world/trace.ts'
import { World } from '../world/world.ts'
import { CallRecorder } from './call-recorder.ts'
import type { Plan, PlannedCall } from './plan.ts'
import { scheduleFaults } from './world-faults.ts'

const networkFaults: NetworkFaults = { lostRequests: 0.02, lostReplies: 0.03, lateRequests: 0.01 }
/** How long a process may use an outdated list of nodes, in milliseconds. */
const maxNodesDelayMs = 50
/** Time between the last fault and the last calls, longer than any interval after which code looks again. */
const settlingMs = 5_000

/** Parts that a run replaces, to show that their defects are found. */
export interface Parts {
  /** @default Cache of `@stowage/core` */
  readonly Cache?: typeof Cache | undefined
  /** @default withKeyOrder of `@stowage/core` */
  readonly withKeyOrder?: typeof withKeyOrder | undefined
  /** @default failover of `@stowage/core` */
  readonly failover?: typeof failover | undefined
  /** @default memo of `@stowage/core` */
  readonly memo?: typeof memo | undefined
  readonly createTracker?: (() => ReplicationProgress) | undefined
}

export interface RunResult<Call> {
  /** What is wrong, if anything. */
  readonly problem: string | undefined
  readonly history: History<Call>
  readonly trace: Trace | undefined
  /** How long the run took, in virtual milliseconds. */
  readonly virtualMs: number
}

type CallInTick<Call> = Pick<PlannedCall<Call>, 'luck' | 'call'>

/** Runs a plan in a world of its own. */
export async function runPlan<Call>(
  scenario: Scenario<Call>,
  plan: Plan<Call>,
  { parts = {}, isTraced = false }: { readonly parts?: Parts; readonly isTraced?: boolean } = {},
): Promise<RunResult<Call>> {
  allowShortTtls()
  const world = new World(isTraced ? new Trace() : undefined)
  return withSimulatedGlobals(world, async () => {
    const run = new PlanRun(world, scenario, plan, parts)
    try {
      return await run.run()
    } finally {
      run.end()
    }
  })
}

class PlanRun<Call> {
  readonly #world: World
  readonly #scenario: Scenario<Call>
  readonly #plan: Plan<Call>
  readonly #backend: Backend
  readonly #network: Network
  readonly #processes: readonly SimulatedProcess[]
  readonly #programs: (Program<Call> | undefined)[] = []
  readonly #recorder: CallRecorder<Call>
  readonly #losses: Loss[] = []
  readonly #nodeChanges: NodeChange[] = []
  readonly #buses: SimulatedBus[] = []
  readonly #shared = new Map<string, unknown>()
  readonly #endings: (() => void)[] = []
  #calls = 0

  constructor(world: World, scenario: Scenario<Call>, plan: Plan<Call>, parts: Parts) {
    this.#world = world
    this.#scenario = scenario
    this.#plan = plan
    this.#backend = new Backend(world, plan.traits, plan.seed)
    this.#network = new Network(world, this.#backend.traits.ordered)
    this.#recorder = new CallRecorder(world, this.#network.requests)
    this.#processes = plan.clocks.map(
      (clock, index) => new SimulatedProcess(world, index, plan.seed, clock),
    )
    this.#backend.onLoss = (key) =>
      this.#losses.push({ key, order: world.nextOrder(), at: world.now })
    this.#backend.onNodeChange = () =>
      this.#nodeChanges.push({ order: world.nextOrder(), at: world.now })
    for (const process of this.#processes) this.#start(process, parts)
  }

  async run(): Promise<RunResult<Call>> {
    await this.#world.run()
    this.#world.onStarted()
    const { calls, faults, isFaultless } = this.#plan
    this.#network.faults = isFaultless ? faultlessNetwork : networkFaults
    this.#scheduleCalls(calls)
    if (!isFaultless) scheduleFaults(this.#targets, faults)
    const error = await this.#finish()
    const history = {
      entries: this.#recorder.finish(),
      losses: this.#losses,
      nodeChanges: this.#nodeChanges,
      clockSteps: this.#processes.flatMap(({ clockSteps }) => clockSteps),
      requests: this.#network.requests,
      killed: this.#processes.filter(({ isKilled }) => isKilled).map(({ name }) => name),
      isFaultless,
    }
    const problem =
      error ??
      this.#recorder.problem((each) => this.#scenario.isExpectedError?.(each) === true) ??
      this.#scenario.judge(history, { traits: this.#backend.traits, shared: this.#shared }) ??
      this.#leftovers()
    return { problem, history, trace: this.#world.trace, virtualMs: this.#world.now }
  }

  /** Call it when the run is over, even if it has failed. */
  end(): void {
    for (const end of this.#endings) end()
  }

  get #targets() {
    const isRelated = (key: string) => this.#scenario.isRelated?.(key) === true
    return { world: this.#world, backend: this.#backend, processes: this.#processes, isRelated }
  }

  /** Runs until nothing is left to do. Returns a problem if that takes too long. */
  async #finish(): Promise<string | undefined> {
    try {
      await this.#world.run()
      this.#network.faults = faultlessNetwork
      const { lastCalls = [] } = this.#scenario
      for (const index of this.#processes.keys())
        for (const call of lastCalls) this.#schedule(settlingMs, index, [{ luck: 0, call }])
      await this.#world.run()
      for (const [index, process] of this.#processes.entries())
        this.#world.schedule(1, () => void this.#programs[index]?.close(), process)
      await this.#world.run()
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }

  #start(process: SimulatedProcess, parts: Parts): void {
    const { world } = this.#backend
    const tracker = parts.createTracker?.() ?? new ReplicationProgress()
    const store = new NetworkStore(process, this.#backend, this.#network, tracker)
    const before = this.#backend.onNodes
    this.#backend.onNodes = (nodes) => {
      before(nodes)
      const delay = process.random.integer(0, maxNodesDelayMs)
      world.schedule(delay, () => {
        store.nodes = this.#backend.nodes
      })
    }
    const context = {
      name: process.name,
      prefix: 'app:',
      store,
      bus: new SimulatedBus(world, process, this.#buses),
      clock: process.clock,
      traits: this.#backend.traits,
      Cache: parts.Cache ?? Cache,
      withKeyOrder: parts.withKeyOrder ?? withKeyOrder,
      failover: parts.failover ?? failover,
      memo: parts.memo ?? memo,
      shared: this.#shared,
      nextOrder: () => world.nextOrder(),
      now: () => world.now,
      onEnd: (work: () => void) => void this.#endings.push(work),
    }
    world.schedule(0, () => this.#programs.push(this.#scenario.start(context)), process)
  }

  /** The calls of one process at the same time are made in the same tick. */
  #scheduleCalls(calls: readonly PlannedCall<Call>[]): void {
    const groups = new Map<string, PlannedCall<Call>[]>()
    for (const call of calls) {
      const name = `${call.at} ${call.process}`
      const group = groups.get(name)
      if (group === undefined) groups.set(name, [call])
      else group.push(call)
    }
    for (const group of groups.values()) {
      const [{ at, process } = { at: 0, process: 0 }] = group
      this.#schedule(at, process, group)
    }
  }

  #schedule(at: number, index: number, calls: readonly CallInTick<Call>[]): void {
    const process = this.#processes[index % this.#processes.length] as SimulatedProcess
    const begin = () => {
      const program = this.#programs[this.#processes.indexOf(process)] as Program<Call>
      for (const { luck, call } of calls) {
        const cause = { call: ++this.#calls, luck, messages: 0, isDisturbed: false }
        this.#world.cause = cause
        this.#recorder.run(process, cause, call, () => program.run(call))
      }
    }
    // A process that is paused receives no calls, and so does not make all of them at once when it goes on.
    const deliver = () => {
      if (!process.isPaused) this.#world.schedule(0, begin, process)
    }
    this.#world.schedule(at, deliver)
  }

  #leftovers(): string | undefined {
    const { isOwnKey } = this.#scenario
    return leftovers(this.#processes, isOwnKey?.bind(this.#scenario))
  }
}

/** Returns which process has left timers, or keys in its maps, when everything is over. */
function leftovers(
  processes: readonly SimulatedProcess[],
  isOwnKey?: (key: string, value: unknown) => boolean,
): string | undefined {
  for (const { name, isKilled, timers, maps } of processes) {
    if (isKilled) continue
    if (timers > 0) return `${name} has ${timers} timers left in the end.`
    for (const map of maps) {
      for (const [key, value] of map) {
        if (typeof key !== 'string' || isOwnKey?.(key, value) !== true) continue
        return `${name} has an entry for ${key} left in one of its maps in the end.`
      }
    }
  }
  return undefined
}
