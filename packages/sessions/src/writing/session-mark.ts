import { type SessionText, stampKey } from '../data/session-item.ts'
import type { SeenSession } from '../users/session-users.ts'

/** What is known of a session object: what the store had, and what the object contained, when both were last in step. */
export class SessionMark {
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

  constructor(created: number, key?: string, seen?: SeenSession | undefined) {
    this.created = created
    this.key = key
    this.seen = seen
    this.view = seen?.stored.text
  }

  /** Whether the session may be stored under a key: that of its id, or the one that a rotation has given it. */
  isOf(key: string): boolean {
    return this.key === undefined || key === this.key || key === this.seen?.key
  }

  /** To be called when the session was stored: `view` is the session object at that time. */
  update(seen: SeenSession, view: SessionText): void {
    this.key ??= seen.key
    this.seen = seen
    this.view = view
  }

  clone(): SessionMark {
    return Object.assign(new SessionMark(this.created), this)
  }

  /** A field of a session that contains a mark does not exist in JSON. */
  toJSON(): undefined {
    return undefined
  }
}

/** A session that was read, with its mark. */
export interface MarkedSession<T> {
  readonly session: T
  readonly mark: SessionMark
}

/**
 * The mark that an owner, such as a `Sessions`, has given a session; of a copy, that of its original as it was read. Marks are
 * dropped with the sessions.
 */
export function markOf(session: object, owner: object): SessionMark | undefined {
  const own = MarkedObject.get(session, owner)
  if (own !== undefined) return own
  const carried = (session as Record<string, unknown>)[stampKey]
  if (!(carried instanceof SessionMark)) return undefined
  const mark = carried.clone()
  MarkedObject.set(session, owner, mark)
  return mark
}

/** Adds a mark as a field, which survives a copy of the session, field by field. */
export function carryMark(session: object, mark: SessionMark): void {
  ;(session as Record<string, unknown>)[stampKey] = mark
}

/** Returns the mark of a session, and removes the field of {@link carryMark}. */
export function takeMark(session: object, owner: object): SessionMark | undefined {
  const { [stampKey]: carried } = session as Record<string, unknown>
  Reflect.deleteProperty(session, stampKey)
  return carried instanceof SessionMark ? carried : markOf(session, owner)
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
export class MarkedObject extends Given {
  #owner: object
  #mark: SessionMark

  private constructor(object: object, owner: object, mark: SessionMark) {
    super(object)
    this.#owner = owner
    this.#mark = mark
  }

  /** Gives a session the mark of an owner. */
  static set(object: object, owner: object, mark: SessionMark): void {
    if (!(#mark in object)) {
      new MarkedObject(object, owner, mark)
      return
    }
    object.#owner = owner
    object.#mark = mark
  }

  static get(object: object, owner: object): SessionMark | undefined {
    return #mark in object && object.#owner === owner ? object.#mark : undefined
  }
}
