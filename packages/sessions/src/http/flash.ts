const flashKey = 'flash'

/** The messages of a session, by kind. */
export type FlashMessages = Record<string, readonly string[]>

/**
 * Keeps a message for the next page that shows messages, usually after a redirect. The key `flash` of the session is used
 * for that.
 *
 * @example
 * const visit: Record<string, unknown> = {}
 * addFlash(visit, 'notice', 'Your changes have been saved.')
 * console.log(takeFlash(visit)) // { notice: ['Your changes have been saved.'] }
 */
export function addFlash(session: object, kind: string, message: string): void {
  const messages = messagesOf(session)
  const ofKind = Object.hasOwn(messages, kind) ? (messages[kind] ?? []) : []
  const added = { ...messages, [kind]: [...ofKind, message] }
  Object.assign(session, { [flashKey]: added })
}

/**
 * Returns the messages of a session, and removes them. Requests that run at the same time may both return a message: use
 * `sessionLock` where that matters.
 */
export function takeFlash(session: object): FlashMessages {
  const messages = messagesOf(session)
  Reflect.deleteProperty(session, flashKey)
  return messages
}

function messagesOf(session: object): FlashMessages {
  return ((session as Record<string, unknown>)[flashKey] as FlashMessages | undefined) ?? {}
}
