import { type SessionText, stampKey } from '../data/session-item.ts'
import type { SeenSession } from '../users/session-users.ts'

/** What is known of a session object: what the store had, and what the object contained, when both were last in step. */
export class SessionBaseline {
  /** When a session that has not been stored yet began. */
  readonly created: number
  /** The key of the id that it was read or stored with first; `undefined` for a session that has not been stored yet. */
  key: string | undefined
  /** `undefined` for a session that has not been stored yet. */
  seen: SeenSession | undefined
  /** The session object as it was then. Others may have changed other keys in the store since. */
  view: SessionText | undefined
  /** Whether the session has ended. It is not stored again then. */
  hasEnded = false
  /** The keys that rotations of the object have given it; `undefined` without any. */
  #rotatedKeys: readonly string[] | undefined

  constructor(created: number, key?: string, seen?: SeenSession | undefined) {
    this.created = created
    this.key = key
    this.seen = seen
    this.view = seen?.stored.text
  }

  /** Whether the session may be stored under a key: that of its id, or one that a rotation has given it. */
  isOf(key: string): boolean {
    if (this.key === undefined || key === this.key || key === this.seen?.key) return true
    return this.#rotatedKeys?.includes(key) === true
  }

  /** To be called when the session has got another key. */
  rotate(seen: SeenSession): void {
    this.seen = seen
    this.#rotatedKeys = [...(this.#rotatedKeys ?? []), seen.key]
  }

  /** To be called when the session was stored: `view` is the session object at that time. */
  update(seen: SeenSession, view: SessionText): void {
    this.key ??= seen.key
    this.seen = seen
    this.view = view
  }

  clone(): SessionBaseline {
    const clone = Object.assign(new SessionBaseline(this.created), this)
    clone.#rotatedKeys = this.#rotatedKeys
    return clone
  }

  /** A field of a session that contains a baseline does not exist in JSON. */
  toJSON(): undefined {
    return undefined
  }
}

/** A session that was read, with its baseline. */
export interface SessionAndBaseline<T> {
  readonly session: T
  readonly baseline: SessionBaseline
}

/**
 * The baseline that an owner, such as a `Sessions`, has given a session; of a copy, that of its original as it was read. Baselines are
 * dropped with the sessions.
 */
export function baselineOf(session: object, owner: object): SessionBaseline | undefined {
  const own = BaselineField.get(session, owner)
  if (own !== undefined) return own
  const carried = (session as Record<string, unknown>)[stampKey]
  if (!(carried instanceof SessionBaseline)) return undefined
  const baseline = carried.clone()
  BaselineField.set(session, owner, baseline)
  return baseline
}

/** Adds a baseline as a field, which survives a copy of the session, field by field. */
export function carryBaseline(session: object, baseline: SessionBaseline): void {
  ;(session as Record<string, unknown>)[stampKey] = baseline
}

/** Returns the baseline of a session, and removes the field of {@link carryBaseline}. */
export function takeBaseline(session: object, owner: object): SessionBaseline | undefined {
  const { [stampKey]: carried } = session as Record<string, unknown>
  Reflect.deleteProperty(session, stampKey)
  return carried instanceof SessionBaseline ? carried : baselineOf(session, owner)
}

/** A constructor that returns its argument: the fields of a derived class are added to that object. */
const Given = class {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: see above
    return object
  }
} as new (
  object: object,
) => object

/**
 * An object with a private field, which other code can neither see nor copy. It replaces a `WeakMap`, whose entries cost
 * the garbage collector more than everything else in a request that reads a session.
 */
export class BaselineField extends Given {
  #owner: object
  #baseline: SessionBaseline

  private constructor(object: object, owner: object, baseline: SessionBaseline) {
    super(object)
    this.#owner = owner
    this.#baseline = baseline
  }

  /** Gives a session the baseline of an owner. */
  static set(object: object, owner: object, baseline: SessionBaseline): void {
    if (!(#baseline in object)) {
      new BaselineField(object, owner, baseline)
      return
    }
    object.#owner = owner
    object.#baseline = baseline
  }

  static get(object: object, owner: object): SessionBaseline | undefined {
    return #baseline in object && object.#owner === owner ? object.#baseline : undefined
  }
}
