import { Converter } from 'typedoc'

/** A plugin of TypeDoc: names modules as an application imports them, @stowage/core/driver instead of core/src/driver. */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.children ?? []) module.name = importName(module.name)
  })
}

function importName(path) {
  return `@stowage/${path.replace('/src', '').replace(/\/index$/, '')}`
}
