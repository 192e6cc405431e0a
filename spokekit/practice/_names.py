"""Names for people, groups and spaces of a practice world: readable, varied, and none of a real person."""

from __future__ import annotations

FIRST = (
    "Amira Jonas Mei Lucía Tomasz Priya Olu Freya Kenji Nadia Mateo Ingrid Yusuf Chloe Dmitri Aroha Samuel Leila Björn "
    "Thandiwe Marco Hana Pavel Zoë Rafael Aisha Niklas Siobhán Diego Keiko Viktor Ananya Émile Fatima Lars Noor Gábor "
    "Isla Hassan Milena Oscar Ruth Cheng Elif Jakub Wanjiru Hugo Sana Peter Alina Kwame Greta Ivan Mirjam Tariq Nora "
    "Felix Salma Anders Joana"
).split()

LAST = (
    "Haddad Weber Tanaka Moreno Kowalski Iyer Adeyemi Lindqvist Sato Petrova Rossi Larsen Demir Dubois Volkov Ngata "
    "Okafor Farahani Nilsson Dlamini Ricci Kimura Novák Schmidt Almeida Khan Bauer O'Neill Fernández Mori Horváth Rao "
    "Lefèvre Mansour Jensen Rahman Nagy Fraser Aziz Jović Berg Cohen Zhang Yılmaz Wójcik Mwangi Martin Qureshi Clarke "
    "Popescu Mensah Vogel Sokolov Hofer Siddiqui Keane Brandt Nasser Dahl Sousa"
).split()

TIME_ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Sydney",
    "Europe/Lisbon",
    "Asia/Tokyo",
    "America/Sao_Paulo",
    "Africa/Nairobi",
)

DEPARTMENTS = (
    "engineering finance sales marketing support legal design research operations security procurement logistics "
    "facilities training quality people"
).split()

REGIONS = "emea apac amer nordics iberia dach benelux ukie anz japan".split()

SITES = (
    ("Northwind Practice", "northwind-practice"),
    ("Harbour Practice", "harbour-practice"),
    ("Meadow Practice", "meadow-practice"),
    ("Granite Practice", "granite-practice"),
    ("Willow Practice", "willow-practice"),
)
