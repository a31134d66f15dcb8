/** The keys that requests change. */
export const sessionKeys = ['key0', 'key1', 'key2'] as const

export const indexSecret = 'a secret of the simulation'

/** What a session contains in the workload. */
export interface SimulatedSession {
  /** The user who has logged in. */
  owner: string
  cookie?: { originalMaxAge: number }
  [key: string]: unknown
}

interface Operation {
  readonly process: string
  /** The first id of the session. */
  readonly id: string
  /** The id that the request was sent with. */
  readonly sentId: string
  /** In the order of everything that happened. */
  readonly began: number
  readonly beganAt: number
  /** `Infinity` if it has failed or never settled: it may take effect at any time. */
  ended: number
  endedAt: number
  /** By how much the clock of the process was fast at the beginning and at the end, in milliseconds. */
  readonly skewsMs: number[]
}

export interface SessionRead extends Operation {
  readonly op: 'read'
  /** `undefined` if there was none. Only for a read that has ended. */
  session: SimulatedSession | undefined
  hasFailed: boolean
}

export interface SessionWrite extends Operation {
  readonly op: 'create' | 'update' | 'touch'
  readonly owner: string
  readonly ttlMs: number | undefined
  /** Whether a session was created without a list of its user. */
  readonly isUnlisted?: boolean
  /** When the request read the session. */
  readonly readAt: number
  /** The keys that were changed, with their new values; `undefined` for a deleted one. */
  readonly changes: Readonly<Record<string, number | undefined>>
  outcome: 'saved' | 'unchanged' | 'dropped' | 'refused' | undefined
}

export interface SessionEnd extends Operation {
  /** `clear` ends all sessions, and `destroy all` those of `owner`. */
  readonly op: 'destroy' | 'clear' | 'destroy all'
  readonly owner?: string
  /** The id that `destroy all` has left. */
  readonly except?: string | undefined
}

/** Gives a session another id. */
export interface SessionRotation extends Operation {
  readonly op: 'rotate'
}

export type SessionOperation = SessionRead | SessionWrite | SessionEnd | SessionRotation

/** The operations of all processes. */
export class SessionLog {
  readonly operations: SessionOperation[] = []
  /** By its other ids: the first id of a session. */
  readonly #firstIds = new Map<string, string>()

  /** Call it before a session gets another id. */
  rename(id: string, newId: string): void {
    this.#firstIds.set(newId, this.firstIdOf(id))
  }

  firstIdOf(id: string): string {
    return this.#firstIds.get(id) ?? id
  }

  /** All ids that a session may have. */
  idsOf(firstId: string): string[] {
    const others = [...this.#firstIds].filter(([, first]) => first === firstId)
    return [firstId, ...others.map(([id]) => id)]
  }

  static of(shared: ReadonlyMap<string, unknown>): SessionLog {
    return (shared.get('session log') as SessionLog | undefined) ?? new SessionLog()
  }

  /** The operations for each id, with the `clear`s. */
  byId(): Map<string, SessionHistory> {
    const ends = this.operations.filter(isEnd)
    const clears = ends.filter(({ op }) => op === 'clear')
    const destroyAlls = ends.filter(({ op }) => op === 'destroy all')
    const histories = new Map<string, SessionHistory>()
    for (const each of this.operations) {
      if (each.op === 'clear' || each.op === 'destroy all') continue
      const history = histories.get(each.id) ?? new SessionHistory(each.id, clears, destroyAlls)
      histories.set(each.id, history)
      history.add(each)
    }
    return histories
  }
}

/** What happened to one id. */
export class SessionHistory {
  readonly id: string
  readonly reads: SessionRead[] = []
  readonly writes: SessionWrite[] = []
  readonly destroys: SessionEnd[] = []
  readonly rotations: SessionRotation[] = []
  readonly clears: readonly SessionEnd[]
  readonly #destroyAlls: readonly SessionEnd[]

  constructor(id: string, clears: readonly SessionEnd[], destroyAlls: readonly SessionEnd[]) {
    this.id = id
    this.clears = clears
    this.#destroyAlls = destroyAlls
  }

  /** The operations that end the session of an owner. */
  endsOf(owner: string): readonly SessionEnd[] {
    const all = this.#destroyAlls.filter((end) => end.owner === owner && end.except !== this.id)
    return [...this.destroys, ...all]
  }

  /** Those that may end it: one that spares an id may not spare that which the session gets meanwhile. */
  possibleEndsOf(owner: string): readonly SessionEnd[] {
    const all = this.#destroyAlls.filter((end) => end.owner === owner)
    const isSpared = (end: SessionEnd) =>
      end.except === this.id && !this.rotations.some(({ began }) => began < end.ended)
    return [...this.destroys, ...all.filter((end) => !isSpared(end))]
  }

  /** Whether the id of an operation may lead nowhere, because the session may have got another one. */
  mayHaveMoved({ sentId, ended }: Operation): boolean {
    return this.rotations.some((rotation) => rotation.sentId === sentId && rotation.began < ended)
  }

  add(operation: SessionOperation): void {
    if (operation.op === 'read') this.reads.push(operation)
    else if (isEnd(operation)) this.destroys.push(operation)
    else if (operation.op === 'rotate') this.rotations.push(operation)
    else this.writes.push(operation)
  }

  /** The `create`s that may have stored a session. */
  get creates(): readonly SessionWrite[] {
    return this.writes.filter(({ op, outcome }) => op === 'create' && outcome !== 'refused')
  }
}

function isEnd(operation: SessionOperation): operation is SessionEnd {
  return ['destroy', 'clear', 'destroy all'].includes(operation.op)
}

/** Whether an operation has succeeded. */
export function isAcknowledged({ ended }: Operation): boolean {
  return ended !== Infinity
}
