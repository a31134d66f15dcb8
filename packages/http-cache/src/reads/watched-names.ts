/** What objects have besides their own names: reading it says nothing about what they contain. */
const inherited = new Set<PropertyKey>([
  ...Object.getOwnPropertyNames(Object.prototype),
  'toJSON',
  'then',
])

/**
 * Returns a view of an object that reports the names that are read, also those that it does not have: a response that was
 * rendered without a header may differ from one with it. `undefined` stands for all names. What is written through the
 * view is not reported any more.
 */
export function watchNames<T extends object>(
  target: T,
  onRead: (name: string | undefined) => void,
): T {
  const written = new Set<PropertyKey>()
  const report = (name: PropertyKey) => {
    if (typeof name === 'string' && !inherited.has(name) && !written.has(name)) onRead(name)
  }
  return new Proxy(target, {
    get(object, name) {
      report(name)
      return Reflect.get(object, name)
    },
    has(object, name) {
      report(name)
      return Reflect.has(object, name)
    },
    getOwnPropertyDescriptor(object, name) {
      report(name)
      return Reflect.getOwnPropertyDescriptor(object, name)
    },
    ownKeys(object) {
      onRead(undefined)
      return Reflect.ownKeys(object)
    },
    set(object, name, value) {
      written.add(name)
      return Reflect.set(object, name, value)
    },
    deleteProperty(object, name) {
      written.add(name)
      return Reflect.deleteProperty(object, name)
    },
  })
}
