/** The longest time that a timer takes, in milliseconds; beyond it Node would fire at once. */
export const maxTimer = 2 ** 31 - 1
