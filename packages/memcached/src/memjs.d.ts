/**
 * memjs has no types of its own. Those of DefinitelyTyped would install the types of the latest Node in every application, beside
 * those that it has chosen, so that what is used is described in `connection/memjs.ts`.
 */
declare module 'memjs' {
  export const Server: import('./connection/memjs.ts').ServerConstructor
}
