import { type Html, html } from '@stowage/example-shared'

const shapes: Readonly<Record<string, Html>> = {
  biscuit: html`<circle cx="24" cy="24" r="16"/><circle cx="24" cy="24" r="12" stroke-dasharray="1.5 3.2"/>
    <path d="M19 19v.01M29 19v.01M24 24v.01M19 29v.01M29 29v.01"/>`,
  butter: html`<path d="M9 21h30v14a4 4 0 0 1-4 4H13a4 4 0 0 1-4-4z"/><path d="M7 21h34"/>
    <path d="M12 21c0-6 5-9 12-9s12 3 12 9"/><path d="M24 12V9"/><path d="M9 28h30"/>`,
  herring: html`<path d="M5 24c6-9 20-12 29-2l8-6c-1.5 5-1.5 11 0 16l-8-6c-9 10-23 7-29-2z"/>
    <path d="M17 18c2.5 4 2.5 8 0 12"/><path d="M11.5 22.5v.01"/><path d="M23 22h5M23 26h5"/>`,
  cordial: html`<path d="M20 6h8v9c0 3 5 4 5 9v15a3 3 0 0 1-3 3H18a3 3 0 0 1-3-3V24c0-5 5-6 5-9z"/>
    <path d="M20 11h8"/><path d="M15 26h18v9H15z"/><path d="M24 28.5v4"/>`,
  coffee: html`<path d="M9 19h24v11a9 9 0 0 1-9 9h-6a9 9 0 0 1-9-9z"/>
    <path d="M33 22h3a5 5 0 0 1 0 10h-3.5"/><path d="M16 8c-2 2.5 2 3.5 0 6M22 7c-2 3 2 4 0 7M28 8c-2 2.5 2 3.5 0 6"/>`,
  salt: html`<path d="M15 8h18v6H15z"/><path d="M16 14c-3 2-5 5-5 9v14a4 4 0 0 0 4 4h18a4 4 0 0 0 4-4V23c0-4-2-7-5-9"/>
    <path d="M11 29c5-3 8 2 13 0s8-3 13 0"/><path d="M18 35v.01M25 36v.01M31 34v.01"/>`,
  oil: html`<path d="M17 15h14l3 15H14z"/><path d="M14 30h20v5H14z"/><path d="M11 41h26M17 35v6M31 35v6"/>
    <path d="M20 15v-4h8v4"/><path d="M18 11a6 6 0 0 1 12 0"/><path d="M24 20c3 3 3 6 0 6s-3-3 0-6z"/>`,
  rope: html`<circle cx="24" cy="23" r="15"/><circle cx="24" cy="23" r="9.5"/><circle cx="24" cy="23" r="4"/>
    <path d="M24 38c5 4 11 4 17 2"/><path d="M24 8l3.5 5.5M36 13.5l-2.5 6M39 24l-5.5 2.5M9.5 20l5.5 1.5M13 33.5l4.5-3.5M14 12.5l3.5 4"/>`,
  computer: html`<rect x="9" y="10" width="30" height="21" rx="2"/><path d="M5 37h38M19 31v6M29 31v6"/>`,
  phone: html`<rect x="15" y="6" width="18" height="36" rx="4"/><path d="M22 36.5h4"/>`,
  lifebuoy: html`<circle cx="24" cy="24" r="17"/><circle cx="24" cy="24" r="7"/>
    <path d="M12 12l7 7M36 12l-7 7M12 36l7-7M36 36l-7-7"/>`,
}

/** Hidden from screen readers: the name is next to it. */
export function icon(name: string): Html {
  return html`<svg class="icon" viewBox="0 0 48 48" aria-hidden="true">${shapes[name]}</svg>`
}

export const logo: Html = html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
  <path class="mark-box" d="M4 11.5 16 5l12 6.5v10L16 28 4 21.5z"/>
  <path class="mark-edge" d="M4 11.5 16 18l12-6.5M16 18v10M10 8.25l12 6.5v4.5"/>
</svg>`
