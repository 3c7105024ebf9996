"""The Streamlit pages and the labeling component."""
