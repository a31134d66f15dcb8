/**
 * A control character of C0 or C1 (ISO 6429), or DEL; one that changes the direction of the text behind it (UAX #9), so that it
 * reads as another one; a separator of lines or paragraphs.
 */
const control = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu
/** The same, or a sequence that begins with one, as those of the colors of this command. */
const controlOrColor = new RegExp(`\\p{Cc}\\[(?:[012]|22|3[0-9])m|${control.source}`, 'gu')
const escapeCharacter = '\u001b'

/**
 * Returns a text of the backend, the environment or a user in a form that a terminal shows and does not execute: keys, tags and
 * field names may come from visitors of the application, and a terminal obeys sequences that move the cursor, set its title or
 * write to the clipboard. Control characters become escapes as in JSON.
 */
export function printable(text: string): string {
  return text.replace(control, escaped)
}

/** Does the same with everything that is written, in case a part of it was forgotten. Line feeds and own colors are kept. */
export function printableOutput(text: string, hasColors: boolean): string {
  return text.replace(controlOrColor, (found) =>
    hasColors && found.length > 1 && found.startsWith(escapeCharacter)
      ? found
      : found.replace(control, (each) => (each === '\n' ? each : escaped(each))),
  )
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
