/** Recognises instances of another copy of this package. */
const brand = Symbol.for('stowage.JsonText')

/**
 * A value as its JSON text, for a caller that has the text already. A codec that stores JSON takes it as it is; any other
 * one gets the parsed value. It is read back as the value, not as a `JsonText`.
 *
 * @example
 * await cache.set('user:1', new JsonText('{"name":"Ada"}'))
 * console.log(await cache.get('user:1')) // { name: 'Ada' }
 */
export class JsonText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** Whether a value is a `JsonText`. */
  static is(value: unknown): value is JsonText {
    return typeof value === 'object' && value !== null && brand in value
  }

  /** Returns the value. */
  parse(): unknown {
    return JSON.parse(this.text)
  }

  /** The same, for `JSON.stringify`. */
  toJSON(): unknown {
    return this.parse()
  }
}

Object.defineProperty(JsonText.prototype, brand, { value: true })
