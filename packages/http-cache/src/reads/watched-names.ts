import { inspect } from 'node:util'

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
 *
 * A proxy, because an object with accessors would not report which names it has. `structuredClone` refuses proxies.
 */
export function watchNames<T extends object>(
  watched: T,
  onRead: (name: string | undefined) => void,
): T {
  const written = new Set<PropertyKey>()
  const report = (name: PropertyKey) => {
    const isInherited = inherited.has(name) && !Object.hasOwn(watched, name)
    if (typeof name === 'string' && !isInherited && !written.has(name)) onRead(name)
  }
  return new Proxy(inspectable(watched, onRead), {
    get(_, name) {
      report(name)
      return Reflect.get(watched, name)
    },
    has(_, name) {
      report(name)
      return Reflect.has(watched, name)
    },
    getOwnPropertyDescriptor(_, name) {
      report(name)
      const descriptor = Reflect.getOwnPropertyDescriptor(watched, name)
      // The target of the proxy does not have it, so that it must be configurable.
      return descriptor && { ...descriptor, configurable: true }
    },
    ownKeys() {
      onRead(undefined)
      return Reflect.ownKeys(watched)
    },
    set(_, name, value) {
      written.add(name)
      return Reflect.set(watched, name, value)
    },
    defineProperty(_, name, descriptor) {
      written.add(name)
      return Reflect.defineProperty(watched, name, { ...descriptor, configurable: true })
    },
    deleteProperty(_, name) {
      written.add(name)
      return Reflect.deleteProperty(watched, name)
    },
    preventExtensions: () => false,
  })
}

/**
 * Returns the target of a proxy. `util.inspect` and `console.log` look past a proxy at its target, without calling it. So that
 * has no properties but a method which they call instead.
 */
function inspectable<T extends object>(watched: T, onRead: (name: undefined) => void): T {
  const read = () => {
    onRead(undefined)
    return { ...watched }
  }
  return Object.create(Object.getPrototypeOf(watched), {
    [inspect.custom]: { value: read, configurable: true },
  })
}
