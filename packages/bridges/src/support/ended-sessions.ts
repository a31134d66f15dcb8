import { type AnySessions, end, fromStored, type OtherSession, toStored } from './session-fields.ts'

/** Ids that are kept until other requests need the space. Each is one of a race. */
const maxIds = 1_000

/** A session that a request has read or put, under its id. */
export interface KnownSession {
  readonly id: string
  readonly session: object
  /** The session that it was under another id, if that had ended before it got this one. */
  readonly ended?: object | undefined
}

/**
 * Ends sessions for libraries that give a session another id: they delete it, and store its fields as a new session. It may
 * have ended between the read and that, by a logout, which the new session must not undo.
 */
export class EndedSessions {
  readonly #sessions: AnySessions
  /** Of sessions that had ended before they were destroyed here. */
  readonly #ids = new Set<string>()

  constructor(sessions: AnySessions) {
    this.#sessions = sessions
  }

  /** @param session the object that was read with the id, if there is one */
  async destroy(id: string, session?: object): Promise<void> {
    const found = await this.#sessions.readAgain(id)
    await end(this.#sessions, id, session)
    if (found !== undefined) return
    this.#ids.add(id)
    const [oldest] = this.#ids
    if (this.#ids.size > maxIds) this.#ids.delete(oldest as string)
  }

  /**
   * Returns what a request that has read `known` stores under `id`, and the session that it was before, if that has ended: what
   * the request has not changed of it is left out.
   */
  toStore(
    known: KnownSession | undefined,
    id: string,
    encoded: OtherSession,
  ): { encoded: OtherSession; ended?: object } {
    const ended = known && this.#endedOf(known, id)
    const text = ended && this.#sessions.storedText(ended)
    if (ended === undefined || text === undefined) return { encoded }
    const stored = toStored(encoded)
    for (const key of this.#sessions.unchangedKeys(text, stored)) delete stored[key]
    return { encoded: fromStored({ ...stored, cookie: encoded.cookie }), ended }
  }

  #endedOf(known: KnownSession, id: string): object | undefined {
    if (known.id === id) return known.ended
    return this.#ids.has(known.id) ? known.session : undefined
  }
}
